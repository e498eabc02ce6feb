package main

import (
	"path/filepath"

	"github.com/hearthfaas/hearth/internal/docker"
	"github.com/spf13/cobra"
)

func newImage() *cobra.Command {
	var p docker.Program
	cmd := &cobra.Command{
		Use:   "image TAG BINARY",
		Short: "Make a Docker image of a static binary",
		Long: `Gives the Docker engine an image that has a static binary, /tmp, this machine's
certificates of authorities, the licences of what a Go binary is linked with,
and nothing else. No builder is needed, and no base image. GOARCH says what the
binary was built for, if not for this machine.`,
		Example: `  hearth image example.com/mailer:v1 ./mailer
  GOARCH=arm64 hearth image example.com/mailer:v1-arm64 ./mailer --label org.opencontainers.image.version=v1`,
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
			newConsole(cmd.OutOrStdout()).step("image", 0, "%s", args[0])
			return nil
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&p.Args, "arg", nil,
		"an argument that the program gets when none is given; may be repeated")
	f.StringVar(&p.WorkDir, "workdir", "", "the directory that it starts in")
	f.StringVar(&p.User, "user", "65532:65532", "whom it runs as")
	f.StringToStringVar(&p.Labels, "label", nil, "a label of the image, as NAME=VALUE; may be repeated")
	return cmd
}
