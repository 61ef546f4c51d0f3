// SPDX-License-Identifier: Apache-2.0

// Package way is the ways from a caller to a server that are measured side by side. What a way needs runs in the laptop's
// namespace and has nothing but the line to reach the cluster by.
package way

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"time"

	"github.com/kubectl-velo/kubectl-velo/test/bench/internal/cluster"
	"github.com/kubectl-velo/kubectl-velo/test/bench/internal/netns"
	"github.com/kubectl-velo/kubectl-velo/test/bench/internal/work"
)

// Names of the ways. Those of another build of the plugin end in @ and its name.
const (
	ClusterIP   = "clusterip"
	Ingress     = "ingress"
	Kubectl     = "kubectl"
	VeloForward = "velo-forward"
	VeloReverse = "velo-reverse"
)

// ErrNotAvailable is why a way is left out.
var ErrNotAvailable = errors.New("not available")

const (
	// patience is how long a way may take until requests go through.
	patience = 90 * time.Second
	// Who answers.
	pod    = "pod"
	laptop = "laptop"
	// kubectlPort is where kubectl listens on the laptop.
	kubectlPort = "8081"
)

// A Setup is where ways are opened.
type Setup struct {
	Laptop, Node *netns.Namespace
	Cluster      *cluster.Cluster
}

// A Way is one of them.
type Way struct {
	Name  string
	Title string
	// Intercepts is the Service that the way intercepts, if it does.
	Intercepts string
	check      func(context.Context) error
	open       func(context.Context, Setup) (*Opened, error)
}

// A Plugin is a build of kubectl-velo.
type Plugin struct {
	Name  string // "" for the one that others are compared to
	Path  string
	Image string // of its traffic-proxy, "" for its default
}

// otherName is that of another build which isn't given one.
const otherName = "other"

// ParsePlugin reads PATH, NAME=PATH or NAME=PATH,IMAGE.
func ParsePlugin(s string) (Plugin, error) {
	name, rest, ok := strings.Cut(s, "=")
	if !ok {
		name, rest = otherName, s
	}
	path, image, _ := strings.Cut(rest, ",")
	if !validName.MatchString(name) || path == "" {
		return Plugin{}, fmt.Errorf("--plugin %s is not [NAME=]PATH[,IMAGE] with a name of small letters and digits", s)
	}
	return Plugin{Name: name, Path: path, Image: image}, nil
}

// validName is a name that the name of a Service may end in.
var validName = regexp.MustCompile(`^[a-z0-9]{1,20}$`)

// All is every way, with those of each build of the plugin.
func All(plugins []Plugin) []Way {
	ways := make([]Way, 0, 3+2*len(plugins))
	ways = append(ways,
		Way{Name: ClusterIP, Title: "direct to the ClusterIP", open: openClusterIP},
		Way{Name: Ingress, Title: "direct through the Ingress", open: openIngress},
		Way{Name: Kubectl, Title: "kubectl port-forward", open: openKubectl})
	for _, p := range plugins {
		suffix := ""
		if p.Name != "" {
			suffix = "@" + p.Name
		}
		service := strings.TrimSuffix("intercepted-"+p.Name, "-")
		ways = append(ways,
			Way{
				Name: VeloForward + suffix, Title: "kubectl velo run" + suffix,
				check: func(ctx context.Context) error { return p.has(ctx, "run") }, open: p.openForward,
			},
			Way{
				Name: VeloReverse + suffix, Title: "kubectl velo intercept" + suffix, Intercepts: service,
				check: func(ctx context.Context) error { return p.has(ctx, "intercept") },
				open: func(ctx context.Context, s Setup) (*Opened, error) {
					return p.openReverse(ctx, s, service)
				},
			})
	}
	return ways
}

// Check tells whether the way can be measured; if not, the error is [ErrNotAvailable].
func (w Way) Check(ctx context.Context) error {
	if w.check == nil {
		return nil
	}
	return w.check(ctx)
}

// Opened is a way that is open.
type Opened struct {
	Way       Way
	From      *netns.Namespace // where the caller is
	Caller    work.Caller
	Programs  []Program // of ours, if there are any
	by        string    // who is to answer
	processes []*process
}

// Open opens the way and waits until requests go through it.
func (w Way) Open(ctx context.Context, s Setup) (*Opened, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	o, err := w.open(ctx, s)
	if err == nil {
		o.Way = w
		if err = o.wait(ctx); err != nil {
			err = errors.Join(err, o.Close())
		}
	}
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", w.Name, err)
	}
	return o, nil
}

// wait waits until the right server answers.
func (o *Opened) wait(ctx context.Context) error {
	for {
		load := work.Load{Kind: work.KindServed, URL: o.Caller.URL, Host: o.Caller.Host}
		sample, err := work.Remote(ctx, o.From, load)
		if err == nil && sample.By == o.by {
			return nil
		}
		if err == nil {
			err = fmt.Errorf("%q answers instead of %q", sample.By, o.by)
		}
		if !o.Running() {
			return errors.Join(err, errEnded)
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// find finds the way's programs once they run.
func (o *Opened) find(ctx context.Context, plugin *process, c *cluster.Cluster, before []string) (err error) {
	o.Programs, err = programs(ctx, plugin, c, before)
	o.Caller.Memory = memory(o.Programs)
	return err
}

// Running tells whether all that the way needs still runs.
func (o *Opened) Running() bool {
	for _, p := range o.processes {
		if !p.running() {
			return false
		}
	}
	return true
}

// Said is the last that what has ended by itself has said.
func (o *Opened) Said() string {
	for _, p := range o.processes {
		if !p.running() {
			said, _ := p.output.read()
			said = strings.TrimSpace(said)
			return said[strings.LastIndexByte(said, '\n')+1:]
		}
	}
	return ""
}

// Close ends what the way needs.
func (o *Opened) Close() error {
	var err error
	for _, p := range o.processes {
		err = errors.Join(err, p.stop())
	}
	return err
}

func openClusterIP(_ context.Context, s Setup) (*Opened, error) {
	return &Opened{From: s.Laptop, Caller: work.Caller{URL: s.Cluster.ServerURL}, by: pod}, nil
}

func openIngress(_ context.Context, s Setup) (*Opened, error) {
	caller := work.Caller{URL: s.Cluster.IngressURL, Host: s.Cluster.IngressHost}
	return &Opened{From: s.Laptop, Caller: caller, by: pod}, nil
}

func openKubectl(ctx context.Context, s Setup) (*Opened, error) {
	p, err := startProcess(ctx, s.Laptop, os.Environ(), "kubectl", "port-forward",
		"--kubeconfig", s.Cluster.Kubeconfig, "-n", s.Cluster.Namespace, "svc/server", kubectlPort+":80")
	if err != nil {
		return nil, err
	}
	caller := work.Caller{URL: "http://127.0.0.1:" + kubectlPort}
	o := &Opened{From: s.Laptop, Caller: caller, by: pod, processes: []*process{p}}
	if _, err := p.says(ctx, "Forwarding from 127.0.0.1"); err != nil {
		return nil, errors.Join(err, o.Close())
	}
	return o, nil
}

// has tells whether the plugin has a command. Its help for one that it doesn't have is that of the whole.
func (p Plugin) has(ctx context.Context, command string) error {
	out, err := exec.CommandContext(ctx, p.Path, command, "--help").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "kubectl velo "+command+" ") {
		return fmt.Errorf("%w: this build of kubectl-velo has no command %s", ErrNotAvailable, command)
	}
	return nil
}

func (p Plugin) environment() []string {
	env := os.Environ()
	if p.Image != "" {
		env = append(env, "VELO_PROXY_IMAGE="+p.Image)
	}
	return env
}

// openForward runs a command in the environment of the client's pod, which names the server. The command tells under
// which URL it finds it, as any program would.
func (p Plugin) openForward(ctx context.Context, s Setup) (*Opened, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	before, err := s.Cluster.Proxies(ctx)
	if err != nil {
		return nil, err
	}
	velo, err := startProcess(ctx, s.Laptop, p.environment(), p.Path, "run", "deployment/client",
		"--kubeconfig", s.Cluster.Kubeconfig, "-n", s.Cluster.Namespace, "--", program, "tell")
	if err != nil {
		return nil, err
	}
	o := &Opened{From: s.Laptop, by: pod, processes: []*process{velo}}
	line, err := velo.says(ctx, Told)
	if err != nil {
		return nil, errors.Join(err, o.Close())
	}
	_, url, _ := strings.Cut(line, Told)
	o.Caller.URL = strings.TrimSuffix(url, "/")
	if err := o.find(ctx, velo, s.Cluster, before); err != nil {
		return nil, errors.Join(err, o.Close())
	}
	return o, nil
}

const (
	// Told comes before the URL that the command tell prints.
	Told = "the server is at "
	// Listening comes before the address that the command serve prints.
	Listening = "listening on "
)

// openReverse intercepts a Service. The server is on the laptop, its callers are in the cluster.
func (p Plugin) openReverse(ctx context.Context, s Setup, service string) (*Opened, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	url, err := s.Cluster.ServiceURL(ctx, service)
	if err != nil {
		return nil, err
	}
	before, err := s.Cluster.Proxies(ctx)
	if err != nil {
		return nil, err
	}
	o := &Opened{From: s.Node, Caller: work.Caller{URL: url}, by: laptop}
	server, err := startProcess(ctx, s.Laptop, os.Environ(), program, "serve", "--listen=127.0.0.1:0", "--name="+laptop)
	if err != nil {
		return nil, err
	}
	o.processes = append(o.processes, server)
	line, err := server.says(ctx, Listening)
	if err != nil {
		return nil, errors.Join(err, o.Close())
	}
	_, port, err := net.SplitHostPort(line[len(Listening):])
	if err != nil {
		return nil, errors.Join(err, o.Close())
	}
	// One that had to be killed may have left the Service intercepted.
	velo, err := startProcess(ctx, s.Laptop, p.environment(), p.Path, "intercept", "svc/"+service,
		"--port", port+":80", "--take-over",
		"--kubeconfig", s.Cluster.Kubeconfig, "-n", s.Cluster.Namespace)
	if err != nil {
		return nil, errors.Join(err, o.Close())
	}
	o.processes = append([]*process{velo}, o.processes...) // it ends first
	if _, err := velo.says(ctx, " intercepted: "); err != nil {
		return nil, errors.Join(err, o.Close())
	}
	if err := o.find(ctx, velo, s.Cluster, before); err != nil {
		return nil, errors.Join(err, o.Close())
	}
	return o, nil
}
