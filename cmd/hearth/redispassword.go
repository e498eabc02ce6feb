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

// passwordFile is the file with the password of a Redis, in its directory.
const passwordFile = "password"

// makePassword is the password of a Redis that has this directory, which is made if there is none.
func makePassword(dir string) (string, error) {
	path := filepath.Join(dir, passwordFile)
	text, err := os.ReadFile(path)
	if password := strings.TrimSpace(string(text)); err == nil && password != "" {
		return password, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("the password of Redis: %w", err)
	}
	return writePassword(dir, randomText())
}

// writePassword leaves the old file or a whole new one.
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
		return "", fmt.Errorf("the password of Redis: %w", err)
	}
	return password, nil
}

// withPassword is a Redis URL with the password of --redis-auth, unless it has one.
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
		return "", errors.New("the Redis URL cannot be read")
	}
	if _, ok := u.User.Password(); !ok {
		u.User = url.UserPassword(u.User.Username(), password)
	}
	return u.String(), nil
}

// sharePassword makes the password of a Redis in another container, and the file that gives it to
// redis-server. wanted is one that an operator has chosen, or "".
func sharePassword(dir, wanted string) (password string, err error) {
	if wanted == "" {
		password, err = makePassword(dir)
	} else {
		password, err = writePassword(dir, wanted)
	}
	if err != nil {
		return "", err
	}
	// The server may run as another user. Nobody else has the directory.
	conf := filepath.Join(dir, "redis.conf")
	err = os.WriteFile(conf+".new", []byte("requirepass "+strconv.Quote(password)+"\n"), 0o644)
	if err == nil {
		err = os.Rename(conf+".new", conf)
	}
	if err != nil {
		return "", fmt.Errorf("the password of Redis: %w", err)
	}
	return password, nil
}
