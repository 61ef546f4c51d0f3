// SPDX-License-Identifier: Apache-2.0

//go:build e2e && linux

package e2e

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// What is transferred, there and back, for a hundred cuts and for each restart.
const (
	bytesPerHundredCuts = 1 << 30
	bytesPerRestart     = 128 << 20
)

// Every connection to the API server is aborted in the middle of its bytes, again and again: what a tunnel carries arrives
// whole, and a session of psql in it stays the one that it was.
func TestCuts(t *testing.T) {
	t.Parallel()
	e := newEnv(t, nil)
	e.deployCounted()
	t.Run("forward", func(t *testing.T) { e.within(t).cuts((*env).converseForward) })
	t.Run("reverse", func(t *testing.T) { e.within(t).cuts((*env).converseReverse) })
}

func (e *env) cuts(start func(*env, *relay, int64) (*dialogue, *conversation)) {
	e.Helper()
	n := int64(times(e.T, 100))
	r := newRelay(e)
	d, c := start(e, r, n*bytesPerHundredCuts/100)
	random := rand.New(rand.NewPCG(1, 2))
	began, step := r.sum(), 2*c.bytes/(n+1)
	for i := range n {
		c.until(r.when(began+i*step+random.Int64N(step), r.cut))
		c.once()
	}
	c.end(r)
	pauses := slices.Sorted(slices.Values(c.pauses[:n]))
	e.Logf("cuts: %d, of %d connections; median of their pauses: %v", n, r.aborted, pauses[n/2].Round(time.Millisecond))
	d.done(0)
	e.nothingStays()
}

// The API server ends three times, in order or killed, under a transfer and a session of psql that go on. It isn't
// parallel: others would notice.
func TestAPIServerRestarts(t *testing.T) {
	if os.Getenv("VELO_CONTEXT") != "" {
		t.Skip("only a cluster of the test's own is restarted")
	}
	e := newEnv(t, nil)
	e.deployCounted()
	ways := [][]string{{"--kill"}, nil, {"--kill"}}
	n := int64(len(ways))
	r := newRelay(e)
	d, c := e.converseForward(r, (n+2)*bytesPerRestart)
	began := r.sum()
	for i, flags := range ways {
		c.until(r.when(began+int64(i+1)*2*bytesPerRestart, func() {}))
		p := e.program(append([]string{"velo-cluster", "restart", "apiserver"}, flags...)...)
		for !p.hasEnded() { // which the transfer may do before, once the tunnel is back
			c.once()
		}
		if p.err != nil {
			t.Fatalf("restarting the API server: %v: %s", p.err, p.stderr.String())
		}
		c.once()
	}
	c.end(r)
	t.Logf("restarts of the API server: %d", n)
	d.done(0)
	e.nothingStays()
	e.recovered()
}

// deployCounted deploys PostgreSQL, if it can be had, the usual service, and an app that uses both.
func (e *env) deployCounted() {
	e.Helper()
	ports := []corev1.ContainerPort{{Name: "http", ContainerPort: 8080}, {Name: "echo", ContainerPort: 9000}}
	template := peerPod(nil, ports, "serve", "--http=:8080", "--echo=:9000")
	template.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "WEB", Value: "web:9000"}}
	if hasPostgres() {
		e.deployPostgres()
		template.Spec.Containers[0].Env = append(template.Spec.Containers[0].Env,
			corev1.EnvVar{Name: "PGHOST", Value: "postgres"},
			corev1.EnvVar{Name: "PGPORT", Value: "5432"},
			corev1.EnvVar{Name: "PGUSER", Value: "postgres"},
			corev1.EnvVar{Name: "PGDATABASE", Value: "postgres"},
			corev1.EnvVar{Name: "PGPASSWORD", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
				LocalObjectReference: corev1.LocalObjectReference{Name: "postgres"}, Key: "password",
			}}})
	}
	e.deployWeb()
	e.createService("app", tcpPort("http", 80, intstr.FromString("http")), tcpPort("echo", 9000, intstr.FromString("echo")))
	e.deploy("app", 1, template)
}

func hasPostgres() bool {
	_, image := os.Stat(postgresArchive)
	_, program := exec.LookPath("psql")
	return image == nil && program == nil
}

// conversation is one connection over a tunnel: each of its statements is answered with who answers and a number that
// only that one can know. Beside it the same tunnel carries a transfer.
type conversation struct {
	*env
	who        string
	ask        func(n int) (answer string)
	statements int
	errors     int
	pauses     []time.Duration // the longest since each until
	transfer   *program
	bytes      int64 // each way
}

// converseScript says where the usual service is, and takes statements if there is a database for them.
func converseScript() []string {
	script := `echo "$WEB"; exec cat`
	if hasPostgres() {
		script = `echo "$WEB"; PGSSLMODE=require exec psql --no-psqlrc -qAt 2>&1`
	}
	return []string{"--", "sh", "-c", script}
}

// converseForward starts a run whose dependencies are talked with, and are sent so many bytes and give them back.
func (e *env) converseForward(r *relay, bytes int64) (*dialogue, *conversation) {
	e.Helper()
	d := e.over(r).talk(append([]string{"run", "deployment/app"}, converseScript()...)...)
	web := d.line()
	c := e.converse(d, web)
	c.send(bytes, "peer", "echo", "--address="+web)
	return d, c
}

// converseReverse starts an intercept whose COMMAND talks with a dependency, while a pod sends the local process so many
// bytes and gets them back.
func (e *env) converseReverse(r *relay, bytes int64) (*dialogue, *conversation) {
	e.Helper()
	l := local{http: laterPort(), echo: laterPort()}
	d := e.over(r).talk(append([]string{"intercept", "svc/app", port(l.http, "http"), port(l.echo, "echo")}, converseScript()...)...)
	web := d.line()
	startLocalAt(e.T, l) // now: where somebody listens already, no COMMAND is started
	c := e.converse(d, web)
	e.answeredBy("http://app/", localName)
	c.send(bytes, append([]string{"kubectl"}, e.flags([]string{"exec", "caller", "--", "/peer", "echo", "--address=app:9000"})...)...)
	return d, c
}

// over returns an env whose plugins reach the API server by a relay.
func (e *env) over(r *relay) *env {
	o := e.within(e.T)
	o.kubeconfig = e.kubeconfigVia(e.T, r.address)
	return o
}

// converse begins the conversation: with psql's session, or else a connection that gives back what it is told.
func (e *env) converse(d *dialogue, web string) *conversation {
	e.Helper()
	c := &conversation{env: e}
	if !hasPostgres() {
		conn, err := net.Dial("tcp", web)
		if err != nil {
			e.Fatal(err)
		}
		e.Cleanup(func() { conn.Close() })
		lines := bufio.NewReader(conn)
		c.who = conn.LocalAddr().String()
		c.ask = func(n int) string {
			_ = conn.SetDeadline(time.Now().Add(patience))
			_, sent := fmt.Fprintf(conn, "%s|%d\n", c.who, n)
			line, err := lines.ReadString('\n')
			if err := errors.Join(sent, err); err != nil {
				e.Fatal(err)
			}
			return strings.TrimSuffix(line, "\n")
		}
		return c
	}
	psql := func(statement string) string {
		if _, err := fmt.Fprintln(d.stdin, statement); err != nil {
			e.Fatal(err)
		}
		return d.line()
	}
	c.who = psql("create temp table counted (n bigint generated always as identity); select pg_backend_pid();")
	c.ask = func(int) string { return psql("insert into counted default values returning pg_backend_pid(), n;") }
	return c
}

// send starts the transfer.
func (c *conversation) send(bytes int64, command ...string) {
	c.Helper()
	c.bytes = bytes
	c.transfer = c.program(append(command, fmt.Sprintf("--bytes=%d", bytes))...)
}

// once has a statement answered.
func (c *conversation) once() {
	c.Helper()
	c.statements++
	began := time.Now()
	got, want := c.ask(c.statements), fmt.Sprintf("%s|%d", c.who, c.statements)
	pause := &c.pauses[len(c.pauses)-1]
	*pause = max(*pause, time.Since(began))
	if got == want {
		return
	}
	c.errors++
	if c.errors == 1 {
		c.Errorf("the first wrong answer: %q, not %q", got, want)
	}
}

// until has statements answered until something has happened, which the transfer must last for.
func (c *conversation) until(happened <-chan struct{}) {
	c.Helper()
	c.pauses = append(c.pauses, 0)
	late := time.After(patience)
	for {
		select {
		case <-late:
			c.Fatalf("the transfer hardly goes on: waited %v; %d statements answered, %d errors", patience, c.statements, c.errors)
		case <-happened:
			return
		case <-c.transfer.ended:
			if happened != c.transfer.ended {
				c.Fatalf("the transfer has ended early: %v: %s%s", c.transfer.err, c.transfer.stdout.String(), c.transfer.stderr.String())
			}
			return
		default:
			c.once()
		}
	}
}

// end has statements answered until the transfer has ended, and checks everything.
func (c *conversation) end(r *relay) {
	c.Helper()
	c.until(c.transfer.ended)
	c.Logf("statements answered by %s: %d, errors: %d, longest pause: %v", c.who, c.statements, c.errors, slices.Max(c.pauses).Round(time.Millisecond))
	var echoed struct {
		Count int64 `json:"count"`
	}
	if c.transfer.err != nil || json.Unmarshal([]byte(c.transfer.stdout.String()), &echoed) != nil || echoed.Count != c.bytes {
		c.Fatalf("the transfer of %d bytes: %v: %s%s", c.bytes, c.transfer.err, c.transfer.stdout.String(), c.transfer.stderr.String())
	}
	carried := r.sum()
	if carried < 2*c.bytes {
		c.Errorf("the tunnel carried %d bytes, fewer than were transferred", carried)
	}
	c.Logf("bytes there and back over one connection, with the same SHA-256: %d each way; carried by the line: %d", echoed.Count, carried)
}

// program is one that runs until its end, or the test's.
type program struct {
	stdout, stderr syncBuffer
	ended          chan struct{}
	err            error // after the end
}

func (p *program) hasEnded() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

func (e *env) program(command ...string) *program {
	e.Helper()
	p := &program{ended: make(chan struct{})}
	cmd := exec.CommandContext(e.Context(), command[0], command[1:]...)
	cmd.Stdout, cmd.Stderr = &p.stdout, &p.stderr
	if err := cmd.Start(); err != nil {
		e.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		p.err = cmd.Wait()
	}()
	e.Cleanup(func() { <-p.ended })
	return p
}

// relay carries connections to the API server as a slow line does, and counts their bytes.
type relay struct {
	address, server string

	mu      sync.Mutex
	open    map[*net.TCPConn]bool // of both sides
	aborted int                   // by cuts, of the near side
	carried int64
	mark    int64 // at which due is called
	due     func()
}

// lineRate is how many bytes per second a connection carries each way: few enough for most cuts to hit connections that have
// lasted for a second, as the plugin dials others in growing intervals.
const lineRate = 10 << 20

// newRelay starts a relay on this machine's loopback that goes with the test.
func newRelay(e *env) *relay {
	e.Helper()
	target, err := url.Parse(e.config.Host)
	if err != nil {
		e.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		e.Fatal(err)
	}
	r := &relay{address: l.Addr().String(), server: target.Host, open: make(map[*net.TCPConn]bool)}
	var carrying sync.WaitGroup
	carrying.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			carrying.Go(func() { r.carry(near.(*net.TCPConn)) })
		}
	})
	e.Cleanup(func() {
		l.Close()
		r.cut()
		carrying.Wait()
	})
	return r
}

func (r *relay) carry(near *net.TCPConn) {
	r.note(near, true)
	defer r.note(near, false)
	conn, err := net.DialTimeout("tcp", r.server, patience)
	if err != nil {
		abort(near)
		return
	}
	far := conn.(*net.TCPConn)
	r.note(far, true)
	defer r.note(far, false)
	var both sync.WaitGroup
	both.Go(func() { r.pipe(far, near) })
	both.Go(func() { r.pipe(near, far) })
	both.Wait()
	near.Close()
	far.Close()
}

// pipe passes on bytes, their end, and that a connection was aborted.
func (r *relay) pipe(to, from *net.TCPConn) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		before, due := r.count(n)
		_, wrong := to.Write(buf[:before])
		if due != nil {
			due()
		}
		if before < n {
			_, wrong = to.Write(buf[before:n])
		}
		if errors.Is(err, io.EOF) {
			_ = to.CloseWrite() // if it is open
			return
		}
		if errors.Join(err, wrong) != nil {
			abort(to)
			abort(from)
			return
		}
		time.Sleep(time.Duration(n) * time.Second / lineRate)
	}
}

// count counts bytes that are to be carried. It returns how many of them come before the mark, and what to do there.
func (r *relay) count(n int) (before int, due func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	was := r.carried
	r.carried += int64(n)
	if r.due == nil || r.carried < r.mark {
		return n, nil
	}
	due, r.due = r.due, nil
	return int(max(0, r.mark-was)), due
}

// when has do called between two bytes once so many have been carried in all, or by the next that come. What it returns is
// closed after that.
func (r *relay) when(carried int64, do func()) <-chan struct{} {
	done := make(chan struct{})
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mark, r.due = carried, func() {
		do()
		close(done)
	}
	return done
}

// sum is how many bytes have been carried.
func (r *relay) sum() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.carried
}

// cut aborts every connection that there is.
func (r *relay) cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for conn := range r.open {
		abort(conn)
		if conn.LocalAddr().String() == r.address {
			r.aborted++
		}
	}
}

func (r *relay) note(conn *net.TCPConn, open bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if open {
		r.open[conn] = true
	} else {
		delete(r.open, conn)
	}
}

// abort has the other end see a reset, and neither an end nor what is still on its way.
func abort(conn *net.TCPConn) {
	_ = conn.SetLinger(0) // it may be closed
	_ = conn.Close()      // the same
}
