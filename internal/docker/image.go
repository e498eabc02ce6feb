package docker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/docker/cli/cli/config"
	credentialstore "github.com/docker/cli/cli/config/credentials"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/moby/moby/api/pkg/authconfig"
	"github.com/moby/moby/api/types/registry"
	"github.com/moby/moby/client"
)

// A PullPolicy says when an image is pulled from its registry, with OpenFaaS's names.
type PullPolicy string

// The policies. PullNever is for images that are built on this engine.
const (
	PullAlways       PullPolicy = "always"         // with each deployment
	PullIfNotPresent PullPolicy = "if-not-present" // if the engine has no image of that name
	PullNever        PullPolicy = "never"          // fail if the engine has no image of that name
)

// pullLimit is how long a pull may take.
const pullLimit = 30 * time.Minute

// errTooLong is the cause of a wait for a pull that ended before the pull.
var errTooLong = errors.New("the image is still being pulled")

// An Image is an image of the engine.
type Image struct {
	Ref  string // as in the spec
	ID   string // of its content; "" while it is being pulled
	User string // that it names
}

// tag returns a name for the content, for revisions.
func (i Image) tag() string {
	if i.ID == "" {
		return "pending"
	}
	_, digest, _ := strings.Cut(i.ID, ":")
	return digest[:min(12, len(digest))]
}

// user returns the user of its containers, which is never root.
func (i Image) user() string {
	name, _, _ := strings.Cut(i.User, ":")
	if slices.Contains([]string{"", "0", "root"}, name) {
		return nobody
	}
	return i.User
}

// Images are the images of the engine.
type Images struct {
	api    *client.Client
	policy PullPolicy
	log    *slog.Logger

	mu      sync.Mutex
	pulling map[string]*pull
}

// pull is a pull under way, for all who wait for it.
type pull struct {
	done  chan struct{}
	image Image
	err   error
}

// find finds an image by the pull policy. fresh is true for a deployment and false for a restart. It returns
// an error of code Invalid if there is no such image, and Unavailable if its registry does not answer. If ctx
// ends first, it returns the cause, and the pull goes on.
func (i *Images) find(ctx context.Context, ref string, fresh bool) (Image, error) {
	if _, err := reference.ParseAnyReference(ref); err != nil {
		return Image{}, noName(ref, err)
	}
	if !fresh || i.policy != PullAlways {
		image, err := i.inspect(ctx, ref)
		if !errdefs.IsNotFound(err) {
			return image, err
		}
	}
	if i.policy == PullNever {
		return Image{}, hearth.Errorf(hearth.Invalid,
			"the Docker engine has no image %s, and the pull policy is never: build it on this machine", ref)
	}
	i.mu.Lock()
	p := i.pulling[ref]
	if p == nil {
		p = &pull{done: make(chan struct{})}
		if i.pulling == nil {
			i.pulling = map[string]*pull{}
		}
		i.pulling[ref] = p
		go func() {
			p.image, p.err = i.pull(ref)
			i.mu.Lock()
			delete(i.pulling, ref)
			i.mu.Unlock()
			close(p.done)
		}()
	}
	i.mu.Unlock()
	select {
	case <-p.done:
		return p.image, p.err
	case <-ctx.Done():
		return Image{}, context.Cause(ctx)
	}
}

func (i *Images) inspect(ctx context.Context, ref string) (Image, error) {
	found, err := i.api.ImageInspect(ctx, ref)
	if err != nil {
		if away(err) {
			return Image{}, hearth.Errorf(hearth.Unavailable, "the Docker engine does not answer: %w", err)
		}
		if errdefs.IsInvalidArgument(err) {
			return Image{}, noName(ref, err)
		}
		return Image{}, fmt.Errorf("find image %s: %w", ref, err)
	}
	image := Image{Ref: ref, ID: found.ID}
	if found.Config != nil {
		image.User = found.Config.User
	}
	return image, nil
}

func noName(ref string, err error) error {
	return hearth.Errorf(hearth.Invalid,
		"%.200q is not an image reference, such as registry.example.com/you/oven:1.0: %v", ref, err)
}

// pull pulls an image, with the credentials that docker login has stored for its registry.
func (i *Images) pull(ref string) (Image, error) {
	ctx, cancel := context.WithTimeout(context.Background(), pullLimit)
	defer cancel()
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil { // the reference is an id, which no registry has
		return Image{}, noName(ref, err)
	}
	domain := reference.Domain(named)
	auth, err := credentials(domain)
	if err != nil {
		return Image{}, hearth.Errorf(hearth.Unavailable,
			"the credentials for %s cannot be read from the Docker config: %v", domain, err)
	}
	began := time.Now()
	i.log.Info("fetches an image", "image", ref)
	stream, err := i.api.ImagePull(ctx, reference.TagNameOnly(named).String(),
		client.ImagePullOptions{RegistryAuth: auth})
	if err == nil {
		err = stream.Wait(ctx)
		_ = stream.Close()
	}
	switch {
	case err == nil:
		i.log.Info("fetched an image", "image", ref, "seconds", time.Since(began).Seconds())
		return i.inspect(ctx, ref)
	case away(err):
		return Image{}, hearth.Errorf(hearth.Unavailable, "the Docker engine does not answer: %v", err)
	case isMissing(err):
		return Image{}, hearth.Errorf(hearth.Invalid,
			"the image %s does not exist, or its registry wants other credentials (run docker login %s on "+
				"the machine of hearth): %v", ref, domain, err)
	}
	return Image{}, hearth.Errorf(hearth.Unavailable, "the image %s could not be pulled: %v", ref, err)
}

// isMissing reports whether a registry says that the image does not exist or needs other credentials. During
// a pull the engine tells that only in the text of the error.
func isMissing(err error) bool {
	if errdefs.IsNotFound(err) || errdefs.IsUnauthorized(err) || errdefs.IsPermissionDenied(err) ||
		errdefs.IsInvalidArgument(err) {
		return true
	}
	text := strings.ToLower(err.Error())
	return slices.ContainsFunc([]string{"not found", "manifest unknown", "unauthorized",
		"authentication required", "no basic auth credentials", "access denied", "no matching manifest"},
		func(s string) bool { return strings.Contains(text, s) })
}

// credentials returns the credentials for a registry from the Docker config, in the engine's form, or "". The
// file is read each time, so that a docker login counts at once.
func credentials(domain string) (string, error) {
	if domain == "docker.io" {
		domain = "https://index.docker.io/v1/"
	}
	file, err := config.Load(config.Dir())
	if err != nil { // without credentials, the registry would say that the image does not exist
		return "", err
	}
	if !file.ContainsAuth() {
		file.CredentialsStore = credentialstore.DetectDefaultStore(file.CredentialsStore)
	}
	auth, err := file.GetAuthConfig(domain)
	if err != nil {
		return "", err
	}
	if auth.Username == "" && auth.IdentityToken == "" && auth.RegistryToken == "" && auth.Auth == "" {
		return "", nil
	}
	return authconfig.Encode(registry.AuthConfig{
		Username:      auth.Username,
		Password:      auth.Password,
		Auth:          auth.Auth,
		ServerAddress: auth.ServerAddress,
		IdentityToken: auth.IdentityToken,
		RegistryToken: auth.RegistryToken,
	})
}
