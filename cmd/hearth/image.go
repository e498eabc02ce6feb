package main

import (
	"path/filepath"

	"github.com/hearthfaas/hearth/cli"
	"github.com/hearthfaas/hearth/internal/docker"
	"github.com/spf13/cobra"
)

// createdImage is the JSON output of hearth image.
type createdImage struct {
	Image  string `json:"image"`
	Binary string `json:"binary"`
}

func newImage() *cobra.Command {
	var p docker.Program
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "image TAG BINARY",
		Short: "Create a Docker image from a static binary",
		Long: `Creates an image in the Docker engine without a builder and without a base
image. It contains the binary, /tmp, this machine's CA certificates and, for a
Go binary, the licences of its modules. Set GOARCH if the binary was built for
another architecture.`,
		Example: `  hearth image example.com/mailer:v1 ./mailer
  GOARCH=arm64 hearth image example.com/mailer:v1-arm64 ./mailer \
    --label org.opencontainers.image.version=v1`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			images, err := docker.OpenImages(cmd.Context())
			if err != nil {
				return err
			}
			defer func() { _ = images.Close() }()
			p.Binary, p.Entrypoint = args[1], "/"+filepath.Base(args[1])
			if err := images.Make(cmd.Context(), args[0], p); err != nil {
				return err
			}
			if asJSON {
				made := createdImage{Image: args[0], Binary: args[1]}
				return cli.WriteJSON(cmd.OutOrStdout(), made)
			}
			newConsole(cmd.OutOrStdout()).step("image", 0, "%s", args[0])
			return nil
		},
	}
	f := cmd.Flags()
	f.BoolVar(&asJSON, "json", false, "print JSON")
	f.StringArrayVar(&p.Args, "arg", nil,
		"default argument of the program; repeatable")
	f.StringVar(&p.WorkDir, "workdir", "", "working directory")
	f.StringVar(&p.User, "user", "65532:65532", "user and group to run as")
	f.StringToStringVar(&p.Labels, "label", nil, "image label `NAME=VALUE`; repeatable")
	return cmd
}
