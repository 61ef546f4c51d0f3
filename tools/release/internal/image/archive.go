// SPDX-License-Identifier: Apache-2.0

package image

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// refName names an image in an OCI layout: the tag that it gets.
const refName = "org.opencontainers.image.ref.name"

// Write writes the image as an OCI archive, a tar of an OCI layout, which skopeo and oras copy to a registry and containerd
// imports. It returns the digest of the image for all platforms.
func Write(spec Spec, out string) (digest string, err error) {
	idx, err := index(spec)
	if err != nil {
		return "", err
	}
	hash, err := idx.Digest()
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil { //nolint:gosec // build output
		return "", err
	}
	dir, err := os.MkdirTemp(filepath.Dir(out), ".layout-*")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	to, err := layout.Write(dir, empty.Index)
	if err != nil {
		return "", fmt.Errorf("writing the image's layout: %w", err)
	}
	if err := to.AppendIndex(idx, layout.WithAnnotations(map[string]string{refName: spec.Version})); err != nil {
		return "", fmt.Errorf("writing the image's layout: %w", err)
	}
	if err := pack(dir, out, spec.Created); err != nil {
		return "", fmt.Errorf("writing %s: %w", out, err)
	}
	return hash.String(), nil
}

// pack archives a directory in the order of its names, all files alike.
func pack(dir, out string, modified time.Time) (err error) {
	f, err := os.Create(out)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := tar.NewWriter(f)
	root := os.DirFS(dir)
	err = fs.WalkDir(root, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == "." {
			return err
		}
		if entry.IsDir() {
			return w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: path + "/", Mode: 0o755, ModTime: modified, Format: tar.FormatUSTAR})
		}
		data, err := fs.ReadFile(root, path)
		if err != nil {
			return err
		}
		err = w.WriteHeader(&tar.Header{
			Typeflag: tar.TypeReg, Name: path, Mode: 0o644, Size: int64(len(data)), ModTime: modified, Format: tar.FormatUSTAR,
		})
		if err != nil {
			return err
		}
		_, err = w.Write(data)
		return err
	})
	if err != nil {
		return err
	}
	return w.Close()
}

// Push pushes the image of an archive to a registry, as it is, and returns its reference with tag and digest. It logs in with
// what `docker login` and its like have left.
func Push(ctx context.Context, archive, to string) (reference string, err error) {
	tag, err := name.NewTag(to)
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp("", "velo-image-*")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	idx, err := read(archive, dir)
	if err != nil {
		return "", fmt.Errorf("reading %s: %w", archive, err)
	}
	hash, err := idx.Digest()
	if err != nil {
		return "", err
	}
	options := []remote.Option{remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain)}
	if err := remote.WriteIndex(tag, idx, options...); err != nil {
		return "", fmt.Errorf("pushing %s: %w", tag, err)
	}
	return tag.Name() + "@" + hash.String(), nil
}

// read unpacks an archive into a directory and returns the one image in it.
func read(archive, dir string) (v1.ImageIndex, error) {
	if err := unpack(archive, dir); err != nil {
		return nil, err
	}
	from, err := layout.FromPath(dir)
	if err != nil {
		return nil, err
	}
	all, err := from.ImageIndex()
	if err != nil {
		return nil, err
	}
	manifest, err := all.IndexManifest()
	if err != nil {
		return nil, err
	}
	if len(manifest.Manifests) != 1 {
		return nil, fmt.Errorf("there are %d images in it", len(manifest.Manifests))
	}
	return all.ImageIndex(manifest.Manifests[0].Digest)
}

func unpack(archive, dir string) error {
	f, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	for r := tar.NewReader(f); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		path := filepath.Clean(header.Name)
		if header.Typeflag == tar.TypeDir {
			if err := root.MkdirAll(path, 0o755); err != nil {
				return err
			}
			continue
		}
		data, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		if err := root.WriteFile(path, data, 0o644); err != nil {
			return err
		}
	}
}
