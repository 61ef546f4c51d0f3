// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-velo/kubectl-velo/test/e2e/service"
)

// velo is a running plugin.
type velo struct {
	*env
	cmd    *exec.Cmd
	output syncBuffer
	ended  chan struct{}
}

// syncBuffer is written by a process and read by a test.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// start starts kubectl velo. It is killed with the test, if it goes on until then.
func (e *env) start(args ...string) *velo {
	e.Helper()
	v := &velo{env: e, ended: make(chan struct{})}
	command := append(slices.Concat(e.via, []string{"kubectl"}), e.flags(append([]string{"velo"}, args...))...)
	v.cmd = exec.Command(command[0], command[1:]...)
	v.cmd.Stdout, v.cmd.Stderr = &v.output, &v.output
	if err := v.cmd.Start(); err != nil {
		e.Fatal(err)
	}
	go func() {
		defer close(v.ended)
		_ = v.cmd.Wait() // its exit code is asked for later
	}()
	e.Cleanup(func() {
		select {
		case <-v.ended:
		default:
			_ = v.cmd.Process.Kill()
			<-v.ended
		}
		if e.Failed() {
			e.Logf("kubectl velo %s:\n%s", strings.Join(args, " "), v.output.String())
		}
	})
	return v
}

// intercept starts an intercept of a Service and waits until it is on.
func (e *env) intercept(name string, args ...string) *velo {
	e.Helper()
	v := e.start(append([]string{"intercept", "svc/" + name}, args...)...)
	v.says(" intercepted: ")
	return v
}

// interrupt ends a session as Ctrl-C does, and waits until it has ended well.
func (v *velo) interrupt() {
	v.Helper()
	v.signal(syscall.SIGINT)
	v.ends(0)
}

// says waits until the plugin has said something.
func (v *velo) says(what string) {
	v.Helper()
	v.saysTimes(what, 1)
}

// saysTimes waits until the plugin has said something so many times.
func (v *velo) saysTimes(what string, times int) {
	v.Helper()
	v.eventually(fmt.Sprintf("%q", what), func() error {
		if strings.Count(v.output.String(), what) >= times {
			return nil
		}
		select {
		case <-v.ended:
			if strings.Count(v.output.String(), what) < times {
				v.Fatalf("kubectl velo ended with code %d without saying %q:\n%s", v.cmd.ProcessState.ExitCode(), what, v.output.String())
			}
		default:
		}
		return errors.New("it hasn't said so")
	})
}

func (v *velo) signal(s syscall.Signal) {
	v.Helper()
	if err := v.cmd.Process.Signal(s); err != nil {
		v.Fatal(err)
	}
}

// ends waits until the plugin has ended with an exit code.
func (v *velo) ends(code int) {
	v.Helper()
	select {
	case <-v.ended:
	case <-time.After(patience):
		v.Fatalf("kubectl velo goes on:\n%s", v.output.String())
	}
	if got := v.cmd.ProcessState.ExitCode(); got != code {
		v.Fatalf("kubectl velo ended with code %d, not %d:\n%s", got, code, v.output.String())
	}
}

// fails runs a command that has to fail with a code, saying all of want on stderr and nothing on stdout.
func (e *env) fails(code int, args []string, want ...string) {
	e.Helper()
	ctx, cancel := context.WithTimeout(e.Context(), 2*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "kubectl", e.flags(append([]string{"velo"}, args...))...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	stdout, err := cmd.Output()
	if got := cmd.ProcessState.ExitCode(); got != code {
		e.Errorf("exit code %d, not %d (%v)", got, code, err)
	}
	if len(stdout) > 0 {
		e.Errorf("stdout isn't empty: %s", stdout)
	}
	for _, w := range want {
		if !strings.Contains(stderr.String(), w) {
			e.Errorf("it doesn't say %q:\n%s", w, stderr.String())
		}
	}
}

// local is the service on this machine.
type local struct{ http, echo, digest int }

const localName = "local"

// startLocal runs the service in this process until the test ends, at free ports.
func startLocal(t *testing.T) local {
	t.Helper()
	return startLocalAt(t, local{})
}

// laterPorts are those that laterPort has given. Connections get none so low: on Linux, theirs begin at 32768.
var laterPorts atomic.Int32

// laterPort returns a port that is free until something listens there, which a COMMAND does once its session is on.
func laterPort() int {
	const first = 28100
	return first + int(laterPorts.Add(1))
}

// startLocalAt runs the service at ports that are chosen, or free ones for those that are 0.
func startLocalAt(t *testing.T, ports local) local {
	t.Helper()
	listen := func(port *int) net.Listener {
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(*port)))
		if err != nil {
			t.Fatal(err)
		}
		*port = l.Addr().(*net.TCPAddr).Port
		return l
	}
	l := service.Listeners{HTTP: listen(&ports.http), Echo: listen(&ports.echo), Digest: listen(&ports.digest)}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- service.Serve(ctx, localName, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return ports
}

// serviceBytes returns a Service as JSON, without what every write changes.
func (e *env) serviceBytes(name string) string {
	e.Helper()
	s, err := e.client.CoreV1().Services(e.namespace).Get(e.Context(), name, metav1.GetOptions{})
	if err != nil {
		e.Fatal(err)
	}
	s.ResourceVersion, s.ManagedFields = "", nil
	data, err := json.Marshal(s)
	if err != nil {
		e.Fatal(err)
	}
	return string(data)
}

// sameService checks that a Service is what it was, byte for byte.
func (e *env) sameService(name, was string) {
	e.Helper()
	if is := e.serviceBytes(name); is != was {
		e.Errorf("service %s is not what it was:\n%s\n%s", name, was, is)
	}
}

// nothingLeft checks that nothing of the plugin's is in the namespace.
func (e *env) nothingLeft() {
	e.Helper()
	out, err := e.kubectl("get", "all,serviceaccounts,roles,rolebindings", "-o", "name", "-l", "app.kubernetes.io/managed-by=kubectl-velo")
	if err != nil {
		e.Fatal(err)
	}
	if out != "" {
		e.Errorf("left behind:\n%s", out)
	}
}

// objects lists what is in the namespace, with everything that a change would change.
func (e *env) objects() []string {
	e.Helper()
	out, err := e.kubectl("get", "deployments,replicasets,services,serviceaccounts,roles,rolebindings,configmaps,secrets",
		"-o", `jsonpath={range .items[*]}{.kind}/{.metadata.name} {.metadata.uid} {.metadata.generation} {.metadata.annotations} {.spec.selector}{"\n"}{end}`)
	if err != nil {
		e.Fatal(err)
	}
	lines := strings.Split(out, "\n")
	slices.Sort(lines)
	return lines
}

// unchanged checks that fn changes nothing in the namespace.
func (e *env) unchanged(fn func()) {
	e.Helper()
	was := e.objects()
	fn()
	if is := e.objects(); !slices.Equal(was, is) {
		e.Errorf("the namespace has changed:\n%s\n%s", strings.Join(was, "\n"), strings.Join(is, "\n"))
	}
	e.nothingLeft()
}

// ingressURL is the Ingress controller's, or the test is skipped: an own cluster need not have one.
func ingressURL(t *testing.T) string {
	t.Helper()
	url := os.Getenv("VELO_INGRESS")
	if url == "" {
		t.Skip("this cluster has no Ingress controller that VELO_INGRESS names")
	}
	return url
}
