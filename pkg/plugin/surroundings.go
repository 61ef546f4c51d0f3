// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"

	"github.com/kubectl-velo/kubectl-velo/pkg/dependency"
	"github.com/kubectl-velo/kubectl-velo/pkg/environment"
	"github.com/kubectl-velo/kubectl-velo/pkg/environment/files"
	"github.com/kubectl-velo/kubectl-velo/pkg/livesession"
	"github.com/kubectl-velo/kubectl-velo/pkg/proxy"
)

const (
	// rootVariable names the directory that stands for the container's root, as far as files are carried over.
	rootVariable = "VELO_ROOT"
	// refreshInterval is how often files are read again.
	refreshInterval = 30 * time.Second
	// refreshTimeout bounds that.
	refreshTimeout = 20 * time.Second
)

// surroundingsOptions say what a process on this machine is given of its pod's.
type surroundingsOptions struct {
	environmentOptions
	dependencyOptions

	// Bound to flags.
	envFile string

	// Computed.
	envFileFormat environment.Format
}

func (o *surroundingsOptions) addFlags(flags *pflag.FlagSet) {
	o.environmentOptions.addFlags(flags)
	o.dependencyOptions.addFlags(flags)
	flags.StringVar(&o.envFile, "env-file", "", "`FILE` to write the environment to, in the format that its name ends with: .json, .yaml, .sh, or else dotenv")
	inGroup(flags, groupEnvironment, "env-file")
}

func (o *surroundingsOptions) validate() error {
	if err := o.environmentOptions.validate(); err != nil {
		return err
	}
	switch strings.ToLower(filepath.Ext(o.envFile)) {
	case ".json":
		o.envFileFormat = environment.JSON
	case ".yaml", ".yml":
		o.envFileFormat = environment.YAML
	case ".sh":
		o.envFileFormat = environment.Shell
	default:
		o.envFileFormat = environment.Dotenv
	}
	if err := o.checkEnvFile(); err != nil {
		return err
	}
	return o.dependencyOptions.validate()
}

// checkEnvFile finds out, before anything is done for its sake, that a file can be written there.
func (o *surroundingsOptions) checkEnvFile() error {
	if o.envFile == "" {
		return nil
	}
	info, err := os.Lstat(o.envFile)
	switch {
	case err == nil && !info.Mode().IsRegular():
		return fmt.Errorf("--env-file %s: it is there, and no regular file", o.envFile)
	case err == nil:
		return nil
	}
	if info, err = os.Stat(filepath.Dir(o.envFile)); err != nil {
		return fmt.Errorf("--env-file %s: %w", o.envFile, err)
	}
	if !info.IsDir() {
		return fmt.Errorf("--env-file %s: %s is no directory", o.envFile, filepath.Dir(o.envFile))
	}
	return nil
}

// surroundings are what a process has around it in its pod, brought to this machine: environment, files, and ways to its
// dependencies. One goroutine prepares and ends it.
type surroundings struct {
	*cluster
	options *surroundingsOptions
	report  *report
	link    *link

	workload     *workload
	variables    []environment.Variable
	services     dependency.Services
	dependencies []dependency.Dependency
	dir          *sessionDir
	tree         *files.Tree
	forwards     []*forwarded
	reserved     map[uint16]bool // ports of the process on this machine
}

// forwarded is a dependency with its way there.
type forwarded struct {
	dependency dependency.Dependency
	port       localPort
	way        *proxy.Forward
}

func newSurroundings(c *cluster, o *surroundingsOptions, r *report, l *link) *surroundings {
	return &surroundings{cluster: c, options: o, report: r, link: l}
}

// read reads everything of a workload that is needed here, and changes nothing in the cluster.
func (s *surroundings) read(ctx context.Context, w *workload) error {
	if s.tree != nil {
		return nil // it holds when the session begins again
	}
	s.workload = w
	s.reserve(w.pod)
	container, err := environment.Container(w.pod, s.options.container)
	if err != nil {
		return fmt.Errorf("reading %s: %w", w, err)
	}
	if s.variables, err = s.options.resolve(ctx, s.cluster, w, s.report); err != nil {
		return err
	}
	if s.dir, err = newSessionDir(); err != nil {
		return fmt.Errorf("making a directory for the files of %s: %w", w, err)
	}
	s.tree, err = files.NewTree(filepath.Join(s.dir.path, "root"), s.client.CoreV1(), w.pod, container.Name)
	if err != nil {
		return fmt.Errorf("reading the files of %s: %w", w, err)
	}
	if err := s.refresh(ctx); err != nil {
		return fmt.Errorf("reading the files of %s: %w", w, err)
	}
	for _, left := range s.tree.NotCarried() {
		s.report.warns("%s (volume %s) is not carried over: %s", left.Path, left.Volume, left.Reason)
	}
	texts := environmentTexts(s.variables)
	texts = append(texts, argumentTexts(container)...)
	texts = append(texts, fileTexts(s.tree.Files())...)
	asked := slices.Clone(texts)
	for _, value := range s.options.add {
		asked = append(asked, dependency.Text{Where: "--dep", Value: value})
	}
	if s.services, err = s.servicesFor(ctx, w.pod, asked); err != nil {
		return err
	}
	s.dependencies, err = s.options.choose(texts, s.services)
	return err
}

// reserve keeps the ports of the pod's containers free: what runs here instead of one listens there, on all addresses, and
// couldn't where somebody listens on one.
func (s *surroundings) reserve(pod *corev1.Pod) {
	if s.reserved == nil {
		s.reserved = make(map[uint16]bool)
	}
	for i := range pod.Spec.Containers {
		for _, port := range pod.Spec.Containers[i].Ports {
			s.reserved[uint16(port.ContainerPort)] = true //nolint:gosec // a port
		}
	}
}

// refresh reads the files again. What may not be read and may be skipped is told once.
func (s *surroundings) refresh(ctx context.Context) error {
	err := s.tree.Refresh(ctx)
	unreadable, partly := errors.AsType[*environment.UnreadableError](err)
	if !partly || !s.options.skipUnreadable {
		return err
	}
	for _, one := range unreadable.Unreadable {
		s.report.warnsOnce("going on without the files of %s, which can't be read: %v", one, one.Err)
	}
	return nil
}

// open listens for the dependencies, and writes the environment that leads to them.
func (s *surroundings) open(ctx context.Context) error {
	if s.forwards != nil {
		return nil // it stays open when the session begins again
	}
	addresses := newLoopback(s.reserved)
	for _, group := range grouped(s.dependencies) {
		ports, moved, err := addresses.listen(ctx, group)
		if err != nil {
			return err
		}
		for _, m := range moved {
			s.report.warns("port %d is taken on this machine%s: %s is at %s", m.dependency.Port, holder(m.dependency.Protocol, m.dependency.Port), title(m.dependency), m.to)
		}
		for i, d := range group {
			way := &proxy.Forward{Host: d.Host, Port: d.Port, Tunnel: s.link.use}
			s.forwards = append(s.forwards, &forwarded{d, ports[i], way})
		}
	}
	s.lead()
	return s.writeEnvFile(ctx)
}

// grouped puts dependencies that are ports of the same host together: they share an address.
func grouped(all []dependency.Dependency) [][]dependency.Dependency {
	var groups [][]dependency.Dependency
	at := make(map[string]int)
	for _, d := range all {
		key := d.Host
		if d.Service != "" {
			key = strings.Join([]string{d.Pod, d.Service, d.Namespace}, ".")
		}
		if i, ok := at[key]; ok {
			groups[i] = append(groups[i], d)
			continue
		}
		at[key] = len(groups)
		groups = append(groups, []dependency.Dependency{d})
	}
	return groups
}

// lead has the environment's values lead to the local addresses and files.
func (s *surroundings) lead() {
	ways := make([]dependency.Forward, 0, len(s.forwards))
	for _, f := range s.forwards {
		local := f.port.address()
		ways = append(ways, dependency.Forward{Dependency: f.dependency, Host: local.Addr().String(), Port: local.Port()})
	}
	values, gaps := dependency.NewRewriter(s.services, ways).Rewrite(environmentTexts(s.variables))
	for i, value := range values {
		s.variables[i].Value = s.tree.Rewrite(value)
	}
	for _, gap := range gaps {
		s.report.warns("%s still names %s: %s", cmp.Or(gap.Name, gap.Where), gap.Host, gap.Reason)
	}
	for _, f := range s.forwards {
		if onlyInFiles(f.dependency) {
			s.report.warns("%s is named in %s, which is carried over as it is: here it is at %s",
				title(f.dependency), f.dependency.Evidence[0].Name, f.port.address())
		}
	}
	s.variables = append(s.variables, environment.Variable{Name: rootVariable, Value: s.tree.Root(), From: "kubectl velo"})
}

// onlyInFiles reports whether a dependency is named nowhere but in files.
func onlyInFiles(d dependency.Dependency) bool {
	for _, e := range d.Evidence {
		if e.Where != "file" {
			return false
		}
	}
	return len(d.Evidence) > 0
}

func (s *surroundings) writeEnvFile(ctx context.Context) error {
	if s.options.envFile == "" {
		return nil
	}
	if err := environment.WriteFile(s.options.envFile, s.options.envFileFormat, s.variables); err != nil {
		return fmt.Errorf("writing the environment: %w", err)
	}
	if tracked, err := environment.Tracked(ctx, s.options.envFile); err == nil && tracked {
		s.report.warns("%s may hold secrets and lies in a Git work tree that doesn't ignore it", s.options.envFile)
	}
	s.report.is("%d variables are in %s", len(s.variables), s.options.envFile)
	return nil
}

// serve forwards connections and keeps files fresh until ctx ends.
func (s *surroundings) serve(ctx context.Context, goroutines *sync.WaitGroup) {
	for _, f := range s.forwards {
		goroutines.Go(func() {
			// It ends with ctx; nothing else ends it.
			if f.port.udp != nil {
				_ = f.way.ServeUDP(ctx, f.port.udp)
			} else {
				_ = f.way.ServeTCP(ctx, f.port.tcp)
			}
		})
	}
	if s.tree == nil {
		return
	}
	goroutines.Go(func() {
		tick := time.NewTicker(refreshInterval)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				reading, cancel := context.WithTimeout(ctx, refreshTimeout)
				if err := s.refresh(reading); err != nil && ctx.Err() == nil {
					s.report.warnsOnce("the files of %s are not fresh: %v", s.workload, err)
				}
				cancel()
			case <-ctx.Done():
				return
			}
		}
	})
}

// process returns the environment of a process on this machine: this one's, with the container's over it.
func (s *surroundings) process() []string {
	environ := os.Environ()
	for _, v := range s.variables {
		environ = append(environ, v.Name+"="+v.Value)
	}
	return environ
}

// close removes what was written, and stops listening.
func (s *surroundings) close() error {
	for _, f := range s.forwards {
		f.port.close()
	}
	if s.dir == nil {
		return nil
	}
	var err error
	if s.tree != nil {
		err = s.tree.Remove()
	}
	return errors.Join(err, s.dir.remove())
}

// describe says how the dependencies fare.
func (s *surroundings) describe() []livesession.Dependency {
	all := make([]livesession.Dependency, 0, len(s.forwards))
	connected := s.link.isConnected()
	roundTrip := s.link.roundTrip()
	for _, f := range s.forwards {
		traffic := f.way.Traffic()
		d := sessionDependency(&f.dependency)
		d.Local, d.State, d.RoundTripMicros = f.port.address().String(), livesession.Ready, roundTrip.Microseconds()
		d.Connections, d.BytesSent, d.BytesReceived = traffic.Open, traffic.Sent, traffic.Received
		switch {
		case !connected:
			d.State, d.Reason = livesession.Waiting, "the tunnel is cut"
		case traffic.Failure != nil:
			d.State, d.Reason = livesession.Failed, traffic.Failure.Error()
		}
		all = append(all, d)
	}
	return all
}

// summary says where the dependencies are, for people.
func (s *surroundings) summary() string {
	if len(s.forwards) == 0 {
		return "none"
	}
	said := make([]string, 0, len(s.forwards))
	for _, f := range s.forwards {
		said = append(said, title(f.dependency)+" at "+local(f.dependency, f.port.address()))
	}
	const most = 4
	if len(said) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(said[:most], ", "), len(said)-most)
	}
	return strings.Join(said, ", ")
}

// local is where a dependency is, without a port that is its own.
func local(d dependency.Dependency, address netip.AddrPort) string {
	if address.Port() == d.Port {
		return address.Addr().String()
	}
	return address.String()
}
