package main

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"
)

// faasCLILogin returns the credentials that faas-cli login stored for a gateway: in ~/.openfaas/config.yml,
// in the directory OPENFAAS_CONFIG, or in ./.openfaas if CI is set. An unreadable file counts as empty.
func faasCLILogin(gateway string) (user, password string, ok bool) {
	dir := os.Getenv("OPENFAAS_CONFIG")
	if ci := os.Getenv("CI"); dir == "" && (ci == "true" || ci == "1") {
		dir = ".openfaas"
	}
	if dir == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", "", false
		}
		dir = filepath.Join(home, ".openfaas")
	}
	text, err := os.ReadFile(filepath.Join(dir, "config.yml"))
	if err != nil {
		return "", "", false
	}
	var stored struct {
		Auths []struct{ Gateway, Auth, Token string }
	}
	if yaml.Unmarshal(text, &stored) != nil {
		return "", "", false
	}
	// as faas-cli stores URLs
	plain := func(url string) string { return strings.ToLower(strings.TrimRight(url, "/")) }
	for _, a := range stored.Auths {
		token, err := base64.StdEncoding.DecodeString(a.Token)
		if err != nil || a.Auth != "basic" || plain(a.Gateway) != plain(gateway) {
			continue
		}
		if user, password, ok = strings.Cut(string(token), ":"); ok {
			return user, password, true
		}
	}
	return "", "", false
}
