// SPDX-License-Identifier: Apache-2.0

package ingress

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// loadTimeout bounds how long nginx takes to put a configuration into force.
const loadTimeout = 10 * time.Second

// nginx is the running server as far as its directory tells.
type nginx struct {
	dir   string
	ports Ports
}

// Ports are where nginx listens: without TLS, and with it.
type Ports struct{ HTTP, HTTPS int }

func (n nginx) config() string { return filepath.Join(n.dir, "nginx.conf") }

// Command starts nginx in dir. A connection that is carried takes two descriptors, so it gets as many as may be had.
func Command(program, dir string) []string {
	return []string{"sh", "-c", `ulimit -n "$(ulimit -H -n)"; exec "$0" "$@"`, program, "-e", "stderr", "-p", dir, "-c", nginx{dir: dir}.config()}
}

// Prepare writes what nginx starts with: a configuration by which every request is answered with 404, and a certificate.
func Prepare(dir string, ports Ports) error {
	conf, err := render(dir, "none", ports, routes(nil, nil, nil))
	if err != nil {
		return err
	}
	fallback, err := selfSigned(fallbackHost)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(certificate("").File(dir), []byte(fallback), 0o600); err != nil {
		return err
	}
	return os.WriteFile(nginx{dir: dir}.config(), conf, 0o644)
}

// load puts a configuration into force and returns once it is. One that nginx refuses leaves the last in force.
func (n nginx) load(ctx context.Context, generation string, servers []server) error {
	ctx, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	conf, err := render(n.dir, generation, n.ports, servers)
	if err != nil {
		return err
	}
	for _, s := range servers {
		if s.Certificate == "" {
			continue
		}
		if err := os.WriteFile(s.Certificate.File(n.dir), []byte(s.Certificate), 0o600); err != nil {
			return err
		}
	}
	candidate := n.config() + ".new"
	if err := os.WriteFile(candidate, conf, 0o644); err != nil {
		return err
	}
	if err := n.run(ctx, "-t", "-q", "-c", candidate); err != nil {
		return fmt.Errorf("checking the configuration: %w", err)
	}
	if err := os.Rename(candidate, n.config()); err != nil {
		return err
	}
	if err := n.run(ctx, "-s", "reload", "-c", n.config()); err != nil {
		return fmt.Errorf("reloading nginx: %w", err)
	}
	for {
		current, err := n.generation(ctx)
		if err == nil && current == generation {
			return nil
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("waiting for nginx to take over configuration %s: it has %q (%w)", generation, current, err)
		}
	}
}

func (n nginx) run(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, "nginx", append([]string{"-e", "stderr", "-p", n.dir}, args...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}

// generation asks nginx which configuration is in force.
func (n nginx) generation(ctx context.Context) (string, error) {
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true, // an old worker would go on answering on an old connection
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(n.dir, "generation.sock"))
		},
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://nginx/", nil)
	if err != nil {
		return "", err
	}
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64))
	return string(body), err
}
