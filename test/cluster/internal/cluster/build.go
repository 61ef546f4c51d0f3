// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/kubectl-velo/kubectl-velo/test/cluster/internal/image"
)

// components of Kubernetes that are links to one binary.
var kubeComponents = []string{"kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "kubelet"}

// A build makes programs of a Go module below test/cluster.
type build struct {
	what, expect string
	dir          string // of the module
	packages     []string
	programs     []string // by the packages' names
	ldflags      string
}

var builds = []build{
	{
		what: "building kube-apiserver, kube-controller-manager, kube-scheduler, kube-proxy, kubelet and etcd", expect: "cold: about 6 min",
		dir: "kube", packages: []string{"./cmd/kube", "./cmd/etcd"}, programs: []string{"kube", "etcd"},
		ldflags: "-X k8s.io/component-base/version.gitVersion=" + KubernetesVersion,
	},
	{
		what: "building coredns", expect: "cold: about 1 min",
		dir: "coredns", packages: []string{"."}, programs: []string{"coredns"},
	},
	{
		what: "building pause", expect: "cold: some seconds",
		dir: ".", packages: []string{"./cmd/pause"}, programs: []string{"pause"},
	},
}

// buildAll builds what is missing or stale, and the images of it.
func (c *Cluster) buildAll(ctx context.Context) error {
	for _, dir := range []string{"bin", "images", "logs"} {
		if err := os.MkdirAll(filepath.Join(c.Dir(), dir), 0o755); err != nil {
			return err
		}
	}
	// People run git in the clone.
	if err := writeFile(filepath.Join(c.Dir(), ".gitignore"), []byte("*\n"), 0o644); err != nil {
		return err
	}
	for _, b := range builds { // one after the other: each keeps all processors busy
		if err := c.build(ctx, b); err != nil {
			return err
		}
	}
	for _, component := range kubeComponents {
		if err := os.Symlink("kube", c.bin(component)); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return errors.Join(
		c.buildImage("pause", pauseImage, "/pause"),
		c.buildImage("coredns", coreDNSImage, "/coredns"),
	)
}

// build runs go build unless everything that goes into it is as it was. To ask go build itself takes seconds with
// thousands of packages.
func (c *Cluster) build(ctx context.Context, b build) error {
	sum, err := c.sourceSum(ctx, b)
	if err != nil {
		return err
	}
	sumFile := filepath.Join(c.Dir(), "bin", "."+b.programs[0]+".sum")
	old, _ := os.ReadFile(sumFile)
	for _, p := range b.programs {
		if _, err := os.Stat(c.bin(p)); err != nil {
			old = nil
		}
	}
	if string(old) == sum {
		return nil
	}
	return c.out.DoLong(b.what, b.expect, func() error {
		args := append([]string{
			"build", "-C", c.source(b.dir), "-trimpath", "-buildvcs=false",
			"-ldflags=-s -w " + b.ldflags, "-o", c.bin("") + "/",
		}, b.packages...)
		cmd := goCommand(ctx, args...)
		if err := run(cmd); err != nil {
			return err
		}
		return os.WriteFile(sumFile, []byte(sum), 0o644)
	})
}

// sourceSum is a checksum of what a build is made of: our sources, the modules' checksums, the flags, the compiler.
func (c *Cluster) sourceSum(ctx context.Context, b build) (string, error) {
	version, err := goCommand(ctx, "env", "GOVERSION", "GOARCH").Output()
	if err != nil {
		return "", fmt.Errorf("asking go for its version: %w", err)
	}
	h := sha256.New()
	fmt.Fprintf(h, "%s%q", version, b)
	dir := c.source(b.dir)
	files := []string{filepath.Join(dir, "go.mod"), filepath.Join(dir, "go.sum")}
	for _, pkg := range b.packages {
		sources, err := filepath.Glob(filepath.Join(dir, pkg, "*.go"))
		if err != nil {
			return "", err
		}
		files = append(files, sources...)
	}
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(h, "%s %d\n", filepath.Base(f), len(data))
		h.Write(data)
	}
	return fmt.Sprintf("%x\n", h.Sum(nil)), nil
}

// goCommand runs the Go toolchain on a module of ours alone, for static programs.
func goCommand(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOOS=linux")
	return cmd
}

// buildImage makes the image of one program, unless there is one made of this very program.
func (c *Cluster) buildImage(program, ref, path string) error {
	archive := c.image(program + ".tar")
	bin, err := os.Stat(c.bin(program))
	if err != nil {
		return err
	}
	made := fmt.Sprintf("%s %s %d %d\n", ref, path, bin.Size(), bin.ModTime().UnixNano())
	old, _ := os.ReadFile(archive + ".of")
	if _, err := os.Stat(archive); err == nil && bytes.Equal(old, []byte(made)) {
		return nil
	}
	return c.out.Do("making the image "+strings.TrimPrefix(ref, "docker.io/"), func() error {
		spec := image.Spec{Name: ref, User: "65532", Files: []image.File{{Source: c.bin(program), Path: path}}}
		if err := image.Write(spec, archive); err != nil {
			return err
		}
		return os.WriteFile(archive+".of", []byte(made), 0o644)
	})
}
