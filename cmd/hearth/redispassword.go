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

	"github.com/spf13/cobra"
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
	return writePassword(dir, randomText(), 0o600)
}

// writePassword leaves the old file or a whole new one.
func writePassword(dir, password string, mode fs.FileMode) (string, error) {
	path := filepath.Join(dir, passwordFile)
	err := os.MkdirAll(dir, 0o700)
	if err == nil {
		err = os.WriteFile(path+".new", []byte(password+"\n"), mode)
	}
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		return "", fmt.Errorf("the password of Redis: %w", err)
	}
	return password, nil
}

// withPassword is a Redis URL with the password of --redis-password-file, unless it has one.
func (c serveConfig) withPassword(given string) (string, error) {
	if c.RedisPassword == "" || given == "" {
		return given, nil
	}
	u, err := url.Parse(given)
	if err != nil {
		return "", errors.New("the Redis URL cannot be read")
	}
	if _, ok := u.User.Password(); ok {
		return given, nil
	}
	text, err := os.ReadFile(c.RedisPassword)
	if err != nil {
		return "", fmt.Errorf("--redis-password-file: %w", err)
	}
	u.User = url.UserPassword(u.User.Username(), strings.TrimSpace(string(text)))
	return u.String(), nil
}

func newRedisPassword() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "redis-password",
		Short: "Make a password for a Redis that runs in a container",
		Long: `Writes two files into a directory: password, for hearth serve --redis-password-file, and redis.conf, for redis-server. The password is
REDIS_PASSWORD, if that is set; else the one that is there, or a random one. docker-compose.yml runs it before Redis starts.`,
		Example: "  hearth redis-password --dir /auth",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			password := os.Getenv("REDIS_PASSWORD")
			var err error
			if password == "" {
				password, err = makePassword(dir)
			} else {
				_, err = writePassword(dir, password, 0o600)
			}
			if err != nil {
				return err
			}
			// The server reads it as another user. Nobody else has the directory.
			conf := filepath.Join(dir, "redis.conf")
			if err := os.WriteFile(conf+".new", []byte("requirepass "+strconv.Quote(password)+"\n"), 0o644); err != nil {
				return fmt.Errorf("the password of Redis: %w", err)
			}
			return os.Rename(conf+".new", conf)
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "the directory")
	_ = cmd.MarkFlagRequired("dir")
	return cmd
}
