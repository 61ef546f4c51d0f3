// SPDX-License-Identifier: Apache-2.0

// Package image makes a multi-platform OCI image of one static program, without a container engine, a base image or a
// registry. The same input makes the same bytes, and so the same digest.
//
// There is no base image: the program needs neither a shell nor a C library, and what it talks to over TLS, the API server, it
// trusts by the certificate of its pod's ServiceAccount. What isn't there needs no updates.
package image

import (
	"archive/tar"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// user is nobody's: the one that distroless images call nonroot. Kubernetes can tell only from a number that it isn't root.
const user = "65532:65532"

// Spec says what the image is.
type Spec struct {
	// Name is the image's title, and of the program in its root.
	Name string
	// Description, Source (a URL), Version and Revision are what registries show.
	Description, Source, Version, Revision string
	// License is the file with the licence.
	License string
	// Created is when it was made.
	Created time.Time
	// Programs are one for each platform.
	Programs []Program
}

// Program is a static Linux program.
type Program struct {
	// Architecture is Go's, such as amd64.
	Architecture string
	// Path is the file.
	Path string
}

var errSpec = errors.New("an image needs a name, a version and programs")

// index makes the image.
func index(spec Spec) (v1.ImageIndex, error) {
	if spec.Name == "" || spec.Version == "" || len(spec.Programs) == 0 {
		return nil, errSpec
	}
	programs := slices.SortedFunc(slices.Values(spec.Programs), func(a, b Program) int {
		return cmp.Compare(a.Architecture, b.Architecture)
	})
	all := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for i, program := range programs {
		if i > 0 && program.Architecture == programs[i-1].Architecture {
			return nil, fmt.Errorf("two programs for %s", program.Architecture)
		}
		one, err := build(spec, program)
		if err != nil {
			return nil, fmt.Errorf("building the image for linux/%s: %w", program.Architecture, err)
		}
		all = mutate.AppendManifests(all, mutate.IndexAddendum{Add: one, Descriptor: v1.Descriptor{
			Platform: &v1.Platform{OS: "linux", Architecture: program.Architecture},
		}})
	}
	annotated, ok := mutate.Annotations(all, annotations(spec)).(v1.ImageIndex)
	if !ok {
		return nil, errors.New("an annotated index is no index any more")
	}
	return annotated, nil
}

func build(spec Spec, program Program) (v1.Image, error) {
	contents, err := layer(spec, program)
	if err != nil {
		return nil, err
	}
	compressed, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(contents)), nil
	}, tarball.WithMediaType(types.OCILayer))
	if err != nil {
		return nil, err
	}
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	img, err = mutate.Append(img, mutate.Addendum{Layer: compressed, History: v1.History{
		Created: v1.Time{Time: spec.Created}, CreatedBy: "velo-release", Comment: spec.Source,
	}})
	if err != nil {
		return nil, err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", program.Architecture
	config.Created = v1.Time{Time: spec.Created}
	config.Config = v1.Config{
		User: user, Entrypoint: []string{"/" + spec.Name}, WorkingDir: "/", Labels: annotations(spec),
	}
	return mutate.ConfigFile(img, config)
}

// layer archives the program and its licence.
func layer(spec Spec, program Program) ([]byte, error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, file := range []struct {
		name, path string
		mode       int64
	}{{"LICENSE", spec.License, 0o644}, {spec.Name, program.Path, 0o755}} {
		data, err := os.ReadFile(file.path)
		if err != nil {
			return nil, err
		}
		err = w.WriteHeader(&tar.Header{
			Typeflag: tar.TypeReg, Name: file.name, Mode: file.mode, Size: int64(len(data)), ModTime: spec.Created, Format: tar.FormatUSTAR,
		})
		if err != nil {
			return nil, err
		}
		if _, err := w.Write(data); err != nil {
			return nil, err
		}
	}
	err := w.Close()
	return out.Bytes(), err
}

// annotations are those of https://github.com/opencontainers/image-spec/blob/main/annotations.md.
func annotations(spec Spec) map[string]string {
	return map[string]string{
		"org.opencontainers.image.title":       spec.Name,
		"org.opencontainers.image.description": spec.Description,
		"org.opencontainers.image.source":      spec.Source,
		"org.opencontainers.image.version":     spec.Version,
		"org.opencontainers.image.revision":    spec.Revision,
		"org.opencontainers.image.licenses":    "Apache-2.0",
		"org.opencontainers.image.created":     spec.Created.Format(time.RFC3339),
	}
}
