// SPDX-License-Identifier: Apache-2.0

// Package image builds container images from programs, without a container engine or a registry: an archive that
// `ctr images import`, `docker load` and `kind load image-archive` take. The same input makes the same bytes.
package image

import (
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"runtime"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// A Spec says what is in an image.
type Spec struct {
	Name       string   // reference, with a tag
	Files      []File   // see also Program and Directory
	Entrypoint []string // the first file, if empty
	Env        []string // NAME=value
	User       string   // a number, or number:number; not root's
}

// A File of the image is a copy of one of this machine.
type File struct {
	Source string
	Path   string // in the image, absolute
}

var numericUser = regexp.MustCompile(`^[1-9][0-9]*(:[0-9]+)?$`)

// Write builds the image and writes its archive to the file out, whole or not at all.
func Write(spec Spec, out string) error {
	tag, err := name.NewTag(spec.Name)
	if err != nil {
		return fmt.Errorf("image name %q: %w", spec.Name, err)
	}
	// Kubernetes can tell that an image does not run as root only from a number.
	if !numericUser.MatchString(spec.User) {
		return fmt.Errorf("image %s: user %q is not the number of a user other than root", tag, spec.User)
	}
	if len(spec.Files) == 0 {
		return fmt.Errorf("image %s: no file to put in", tag)
	}
	img, err := build(spec)
	if err != nil {
		return fmt.Errorf("building image %s: %w", tag, err)
	}
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(out), ".image-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // unless it has become out
	defer f.Close()
	if err := tarball.Write(tag, img, io.Writer(f)); err != nil {
		return fmt.Errorf("writing image %s: %w", tag, err)
	}
	if err := f.Chmod(0o644); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), out)
}

func build(spec Spec) (v1.Image, error) {
	files, err := layer(spec.Files)
	if err != nil {
		return nil, err
	}
	// Not compressed: it never crosses a network, and both ends would only wait for gzip.
	img, err := mutate.AppendLayers(empty.Image, static.NewLayer(files, types.DockerUncompressedLayer))
	if err != nil {
		return nil, err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", runtime.GOARCH
	config.Config = v1.Config{
		User:       spec.User,
		Entrypoint: spec.Entrypoint,
		Env:        append([]string{"PATH=/usr/local/bin:/usr/bin:/bin"}, spec.Env...),
		WorkingDir: "/",
	}
	if len(spec.Entrypoint) == 0 {
		config.Config.Entrypoint = []string{path.Clean(spec.Files[0].Path)}
	}
	return mutate.ConfigFile(img, config)
}
