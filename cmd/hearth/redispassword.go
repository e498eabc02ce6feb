package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// passwordFile is the name of the file with the password of Redis.
const passwordFile = "password"

// makePassword returns the password of the Redis in this directory, and creates one if there is none.
func makePassword(dir string) (string, error) {
	path := filepath.Join(dir, passwordFile)
	text, err := os.ReadFile(path)
	if password := strings.TrimSpace(string(text)); err == nil && password != "" {
		return password, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("password of Redis: %w", err)
	}
	return writePassword(dir, randomText())
}

// writePassword replaces the file atomically.
func writePassword(dir, password string) (string, error) {
	path := filepath.Join(dir, passwordFile)
	err := os.MkdirAll(dir, 0o700)
	if err == nil {
		err = os.WriteFile(path+".new", []byte(password+"\n"), 0o600)
	}
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		return "", fmt.Errorf("password of Redis: %w", err)
	}
	return password, nil
}

// withPassword adds the password of --redis-auth to a Redis URL without one.
func (c serveConfig) withPassword(given string) (string, error) {
	if c.RedisAuth == "" || given == "" {
		return given, nil
	}
	password, err := sharePassword(c.RedisAuth, os.Getenv("REDIS_PASSWORD"))
	if err != nil {
		return "", err
	}
	u, err := url.Parse(given)
	if err != nil {
		return "", errors.New("the Redis URL is invalid")
	}
	if _, ok := u.User.Password(); !ok {
		u.User = url.UserPassword(u.User.Username(), password)
	}
	return u.String(), nil
}

// sharePassword creates the password of a Redis in another container, and the file that configures
// redis-server with it. wanted is the operator's choice, or "".
func sharePassword(dir, wanted string) (password string, err error) {
	if wanted == "" {
		password, err = makePassword(dir)
	} else {
		password, err = writePassword(dir, wanted)
	}
	if err != nil {
		return "", err
	}
	// The server may run as another user. The directory is shared with nobody else.
	conf := filepath.Join(dir, "redis.conf")
	err = os.WriteFile(conf+".new", []byte("requirepass "+strconv.Quote(password)+"\n"), 0o644)
	if err == nil {
		err = os.Rename(conf+".new", conf)
	}
	if err != nil {
		return "", fmt.Errorf("password of Redis: %w", err)
	}
	return password, nil
}
