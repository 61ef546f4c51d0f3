// SPDX-License-Identifier: Apache-2.0

package files

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/kubectl-velo/kubectl-velo/pkg/environment"
)

// apiAccess is where every pod that doesn't ask for something else gets a token for the API server. Few users may
// request one, and fewer programs need it here, so where it may not be requested, it is left out without an error.
const apiAccess = "/var/run/secrets/kubernetes.io/serviceaccount"

// Tree is the directory that holds the files of one container. One goroutine at a time may use it.
type Tree struct {
	api       API
	pod       *corev1.Pod
	container *corev1.Container

	dir     string
	root    *os.Root
	carried []Mount
	left    []NotCarried

	last    map[sourceID]content // what each source gave when it could last be read
	tokens  map[sourceID]token
	written content // what is in the directory, by path below it
}

// sourceID names one of the sources of a volume.
type sourceID struct {
	volume string
	index  int
}

// NewTree makes the directory dir, which must not be there yet, for the files of a container of a pod; see [Plan] for
// which these are, and for errors. There are no files before the first [Tree.Refresh].
func NewTree(dir string, api API, pod *corev1.Pod, container string) (*Tree, error) {
	carried, left, err := Plan(pod, container)
	if err != nil {
		return nil, err
	}
	c, err := environment.Container(pod, container)
	if err != nil {
		return nil, err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, errors.Join(err, os.Remove(dir))
	}
	return &Tree{
		api: api, pod: pod, container: c, dir: dir, root: root, carried: carried, left: left,
		last: map[sourceID]content{}, tokens: map[sourceID]token{}, written: content{},
	}, nil
}

// Root returns the directory, as an absolute path.
func (t *Tree) Root() string { return t.dir }

// NotCarried returns what is mounted in the container and not here, ordered by path. After a [Tree.Refresh] there may
// be more of it.
func (t *Tree) NotCarried() []NotCarried { return slices.Clone(t.left) }

// File is a file of the container, as it was written last.
type File struct {
	// Path in the container.
	Path    string
	Content []byte
	// Secret is whether it may be one: its mount has a Secret, or a token.
	Secret bool
}

// Files returns all files, ordered by path.
func (t *Tree) Files() []File {
	all := make([]File, 0, len(t.written))
	for name, data := range t.written {
		at := "/" + name
		all = append(all, File{Path: at, Content: data, Secret: t.mayBeSecret(at)})
	}
	slices.SortFunc(all, func(a, b File) int { return cmp.Compare(a.Path, b.Path) })
	return all
}

func (t *Tree) mayBeSecret(at string) bool {
	mountPath, _ := t.mountOf(at)
	for _, mount := range t.carried {
		if mount.Path == mountPath {
			return slices.ContainsFunc(mount.sources, func(source corev1.VolumeProjection) bool {
				return source.Secret != nil || source.ServiceAccountToken != nil
			})
		}
	}
	return true
}

// Refresh reads everything again, and writes what has changed, and removes what isn't there any more. Tokens are
// requested again when 80 % of their lifetime have gone, so call it at least once a minute: they live ten minutes or
// more.
//
// Errors are those of [environment.Resolve]: a [*environment.MissingError] or an [*environment.UnreadableError] for
// sources that couldn't be read; all others have been written. After any other error nothing has been, or not all.
func (t *Tree) Refresh(ctx context.Context) error {
	objects := environment.NewObjects(t.api, t.pod.Namespace)
	reader := &reader{api: t.api, objects: objects, pod: t.pod, container: t.container}
	for _, mount := range t.carried {
		for i, source := range mount.sources {
			read, err := t.read(ctx, reader, mount, sourceID{mount.Volume, i}, source)
			if err != nil {
				return fmt.Errorf("volume %s: %w", mount.Volume, err)
			}
			if read != nil {
				t.last[sourceID{mount.Volume, i}] = read
			}
		}
	}
	wanted, err := t.layOut()
	if err != nil {
		return err
	}
	if err := t.apply(wanted); err != nil {
		return fmt.Errorf("writing the container's files below %s: %w", t.dir, err)
	}
	return reader.gaps.Err()
}

// read returns what a source gives, or nil if it couldn't be read, which the reader has noted.
func (t *Tree) read(
	ctx context.Context, r *reader, mount Mount, id sourceID, source corev1.VolumeProjection,
) (content, error) {
	switch {
	case source.ConfigMap != nil:
		return r.configMap(ctx, source.ConfigMap)
	case source.Secret != nil:
		return r.secret(ctx, source.Secret)
	case source.DownwardAPI != nil:
		return r.downwardAPI(ctx, source.DownwardAPI)
	}
	if held, ok := t.tokens[id]; ok && time.Now().Before(held.renew) {
		return held.content, nil
	}
	fresh, err := r.request(ctx, source.ServiceAccountToken)
	switch {
	case err == nil:
		t.tokens[id] = fresh
		return fresh.content, nil
	case mount.Path == apiAccess && apierrors.IsForbidden(err):
		t.leaveOut(NotCarried{mount.Volume, mount.Path, "you may not request a token of serviceaccount/" + r.account()})
		return nil, nil
	default:
		return nil, r.gaps.Note("token", r.account(), err)
	}
}

func (t *Tree) leaveOut(part NotCarried) {
	if !slices.Contains(t.left, part) {
		t.left = append(t.left, part)
		slices.SortStableFunc(t.left, func(a, b NotCarried) int { return cmp.Compare(a.Path, b.Path) })
	}
}

// layOut returns what the directory has to hold. Where a mount lies within another, it hides what that one has there.
// Of several sources of a volume, the last one wins.
func (t *Tree) layOut() (content, error) {
	wanted := content{}
	for _, mount := range t.carried {
		for i := range mount.sources {
			for name, data := range t.last[sourceID{mount.Volume, i}] {
				clean, err := within(name)
				if err != nil {
					return nil, fmt.Errorf("volume %s: %w", mount.Volume, err)
				}
				at, mounted := mount.place(clean)
				if inner, _ := t.mountOf(at); mounted && inner == mount.Path {
					wanted[strings.TrimPrefix(at, "/")] = data
				}
			}
		}
	}
	return wanted, nil
}

// place returns where in the container a file of the volume is, if it is mounted.
func (m Mount) place(name string) (string, bool) {
	if m.SubPath == "" {
		return path.Join(m.Path, name), true
	}
	rest, ok := strings.CutPrefix(name, m.SubPath)
	if !ok || rest != "" && !strings.HasPrefix(rest, "/") {
		return "", false
	}
	return m.Path + rest, true
}

func (t *Tree) apply(wanted content) error {
	for name := range t.written {
		if _, ok := wanted[name]; ok {
			continue
		}
		if err := t.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		delete(t.written, name)
	}
	for _, mount := range t.carried {
		if dir := strings.TrimPrefix(mount.Path, "/"); mount.SubPath == "" && dir != "" {
			if err := t.root.MkdirAll(dir, 0o700); err != nil {
				return err
			}
		}
	}
	for name, data := range wanted {
		if old, ok := t.written[name]; ok && bytes.Equal(old, data) {
			continue
		}
		if err := t.write(name, data); err != nil {
			return err
		}
		t.written[name] = data
	}
	return nil
}

// write puts a file in the place of the one that is there. It is made in the directory itself, so that nobody who looks
// at a mount sees it half written.
func (t *Tree) write(name string, data []byte) error {
	const unfinished = ".unfinished"
	if err := t.root.MkdirAll(path.Dir(name), 0o700); err != nil {
		return err
	}
	if err := t.root.WriteFile(unfinished, data, 0o600); err != nil {
		return err
	}
	return t.root.Rename(unfinished, name)
}

// Remove deletes the directory. It may be called again.
func (t *Tree) Remove() error {
	return errors.Join(t.root.Close(), os.RemoveAll(t.dir))
}
