// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/kubectl-velo/kubectl-velo/test/e2e/service"
)

// Under a client with a hundred requests a second, each over a new connection, for a minute, pods are deleted, a Deployment
// rolls out and the API server restarts: kubectl port-forward, which nobody starts again, beside velo forward.
// It isn't parallel: others would notice the restart.
func TestForwardSurvives(t *testing.T) {
	e := newEnv(t, nil)
	const replicas = 2
	e.deployForwarded(replicas)
	theirs, ours := e.startPortForward("svc/web", "http"), e.startForward("svc/web", "http")
	n := min(times(t, 5), 5)
	began := time.Now()
	loads := []*steadyLoad{startSteady(t, theirs.url()), startSteady(t, ours.url())}
	for range n {
		e.deleteOldestPod("web")
		e.available("web", replicas)
		time.Sleep(2 * time.Second) // of undisturbed load
	}
	if out, err := e.kubectl("rollout", "restart", "deployment/web"); err != nil {
		t.Fatal(err, out)
	}
	if out, err := e.kubectl("rollout", "status", "deployment/web", "--timeout=60s"); err != nil {
		t.Fatal(err, out)
	}
	restarts := 0
	if os.Getenv("VELO_CONTEXT") == "" { // only a cluster of the test's own is restarted
		if out, err := exec.Command("velo-cluster", "restart", "apiserver").CombinedOutput(); err != nil {
			t.Fatalf("restarting the API server: %v: %s", err, out)
		}
		restarts++
	}
	time.Sleep(time.Until(began.Add(time.Minute)))
	said := ours.status()
	for i, who := range []string{"kubectl port-forward", "kubectl velo forward"} {
		l := loads[i]
		l.stop()
		t.Logf("%s: %d requests in %v, failed: %d, slowest answer: %v, answered by %d pods; pods deleted: %d, rollouts: 1, restarts of the API server: %d",
			who, l.sent, time.Since(began).Round(time.Second), l.failed, l.slowest.Round(time.Millisecond), len(l.answered), n, restarts)
		for failure, count := range l.failures {
			t.Logf("  %d times: %s", count, failure)
		}
	}
	t.Logf("kubectl port-forward %s; velo forward has replaced %d connections", theirs.fate(), said.Reconnects)
	// Only requests inside a pod that died may fail: those that are there when it does.
	dead := n + replicas
	if ours := loads[1]; ours.failed > dead {
		t.Errorf("%d requests failed; inside %d pods that died there can't have been more than %d", ours.failed, dead, dead)
	}
	if said.Reconnects == 0 || said.State != "ready" {
		t.Errorf("status says %+v", said)
	}
	ours.velo.interrupt()
	e.nothingLeft()
}

// Clients that reset their connections in the middle of an answer harm no others.
func TestForwardResets(t *testing.T) {
	t.Parallel()
	e := newEnv(t, nil)
	e.deployForwarded(1)
	n := times(t, 100)
	theirs, ours := e.startPortForward("pod/"+e.pods("web")[0].Name, "8080", "9000"), e.startForward("svc/web", "http", "echo")
	for _, side := range []struct {
		who       string
		http, raw string
		whole     bool
	}{{"kubectl port-forward", theirs.address(0), theirs.address(1), false}, {"kubectl velo forward", ours.address(0), ours.address(1), true}} {
		others := startOthers(t, side.raw)
		resets := 0
		for range n {
			if err := resetMidAnswer(side.http); err == nil {
				resets++
			}
		}
		sent, broken := others.stop()
		t.Logf("%s: %d resets in the middle of an answer; %d other connections with %d exchanges, broken: %d", side.who, resets, othersCount, sent, broken)
		if side.whole && (resets != n || broken > 0) {
			t.Errorf("%d of %d resets, and %d connections broken", resets, n, broken)
		}
	}
	if s := ours.status(); s.Reconnects != 0 {
		t.Errorf("status says %+v", s)
	}
	ours.velo.interrupt()
}

// In a pipeline, a program is started when every port answers, and its exit code is the command's.
func TestForwardCommand(t *testing.T) {
	t.Parallel()
	e := newEnv(t, nil)
	e.deployForwarded(1)
	port := freePort(t)
	module := t.TempDir()
	for name, content := range map[string]string{
		"go.mod": "module pipeline\n\ngo 1.26\n",
		"pipeline_test.go": `package pipeline

import (
	"net/http"
	"os"
	"testing"
)

func TestWeb(t *testing.T) {
	response, err := http.Get(os.Getenv("WEB_URL"))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK || os.Getenv("BROKEN") != "" {
		t.Fatal(response.Status)
	}
}
`,
	} {
		if err := os.WriteFile(filepath.Join(module, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	script := filepath.Join(module, "pipeline.sh")
	content := "#!/bin/sh\nset -e\ncd " + module + "\nexec kubectl " + strings.Join(e.flags([]string{
		"velo", "forward", "svc/web", strconv.Itoa(port) + ":http", "--timeout", "1m", "--", "go", "test", "-count=1", "./...",
	}), " ") + "\n"
	if err := os.WriteFile(script, []byte(content), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, broken, stdout string
		code                 int
	}{{"tests pass", "", "ok", 0}, {"tests fail", "1", "FAIL", 1}} {
		cmd := exec.Command("/bin/sh", script)
		cmd.Env = append(os.Environ(), fmt.Sprintf("WEB_URL=http://localhost:%d/", port), "BROKEN="+tt.broken)
		var stderr strings.Builder
		cmd.Stderr = &stderr
		stdout, err := cmd.Output()
		if code := cmd.ProcessState.ExitCode(); code != tt.code || !strings.Contains(string(stdout), tt.stdout) {
			t.Errorf("%s: exit code %d, %v: %s%s", tt.name, code, err, stdout, stderr.String())
		}
		if strings.Contains(string(stdout), "Forwarding from") {
			t.Errorf("%s: stdout isn't the program's alone: %s", tt.name, stdout)
		}
		t.Logf("%s: exit code %d", tt.name, cmd.ProcessState.ExitCode())
		if conn, err := net.Dial("tcp", net.JoinHostPort("localhost", strconv.Itoa(port))); err == nil {
			_ = conn.Close()
			t.Errorf("%s: port %d is still listened at", tt.name, port)
		}
	}
	e.fails(7, []string{"forward", "svc/web", ":http", "--", "sh", "-c", "exit 7"})
	if left := e.forwards(); len(left) > 0 {
		t.Errorf("still shown: %+v", left)
	}
	e.nothingLeft()
}

// A target without ready pods is waited for, and then found; without them in time it isn't.
func TestForwardWaits(t *testing.T) {
	t.Parallel()
	e := newEnv(t, nil)
	e.deployForwarded(0)
	e.fails(124, []string{"forward", "svc/web", ":http", "--timeout", "2s"}, "waiting for service/web: it has no pods", "timed out after 2s")
	f := e.startForwarding("svc/web", "http")
	f.velo.says("waiting for service/web: it has no pods")
	if _, err := e.kubectl("scale", "deployment/web", "--replicas=1"); err != nil {
		t.Fatal(err)
	}
	f.velo.says("Forwarding from")
	f.answers()
	// Without any pod a client waits until there is one again.
	if _, err := e.kubectl("scale", "deployment/web", "--replicas=0"); err != nil {
		t.Fatal(err)
	}
	e.eventually("the last pod to be gone", func() error {
		if f.status().State != "waiting" {
			return errNotYet
		}
		return nil
	})
	answered := make(chan error, 1)
	go func() { answered <- f.answer() }()
	if _, err := e.kubectl("scale", "deployment/web", "--replicas=1"); err != nil {
		t.Fatal(err)
	}
	if err := <-answered; err != nil {
		t.Error(err)
	}
	f.velo.interrupt()
}

// What kubectl port-forward is called with works.
func TestForwardArguments(t *testing.T) {
	t.Parallel()
	e := newEnv(t, nil)
	e.deployForwarded(1)
	pod := e.pods("web")[0].Name
	for _, args := range [][]string{
		{pod, ":8080"},
		{"pod/" + pod, ":8080"},
		{"deploy/web", ":8080"},
		{"svc/web", ":80"},
		{"service/web", ":http"},
		{"-l", "app=web", ":8080"},
		{"--address", "127.0.0.1", "svc/web", ":80"},
		{"svc/web", ":http", "deployment/web", ":9000"},
		{"--all"},
	} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			v := e.within(t).start(append([]string{"forward", "-o", "json"}, args...)...)
			v.says(`"kind": "ForwardList"`)
			v.says("\n}\n")
			_, out, _ := strings.Cut(v.output.String(), "{")
			var list struct {
				Items []forward `json:"items"`
			}
			if err := json.NewDecoder(strings.NewReader("{" + out)).Decode(&list); err != nil {
				t.Fatal(err, out)
			}
			if len(list.Items) == 0 || len(list.Items[0].Local) == 0 || !slices.Equal(list.Items[0].Pods, []string{pod}) {
				t.Fatalf("it says %+v", list)
			}
			if err := get("http://" + list.Items[0].Local[0] + "/"); err != nil {
				t.Error(err)
			}
			v.interrupt()
		})
	}
}

// deployForwarded deploys the usual service with so many pods.
func (e *env) deployForwarded(replicas int32) {
	e.Helper()
	e.createService("web", tcpPort("http", 80, intstr.FromString("http")), tcpPort("echo", 9000, intstr.FromInt32(9000)))
	e.deployPeer("web", replicas, []corev1.ContainerPort{{Name: "http", ContainerPort: 8080}}, "--http=:8080", "--echo=:9000")
}

func (e *env) pods(app string) []corev1.Pod {
	e.Helper()
	pods, err := e.client.CoreV1().Pods(e.namespace).List(e.Context(), metav1.ListOptions{LabelSelector: "app=" + app})
	if err != nil {
		e.Fatal(err)
	}
	return slices.DeleteFunc(pods.Items, func(p corev1.Pod) bool { return p.DeletionTimestamp != nil })
}

// deleteOldestPod deletes the one that is most likely used.
func (e *env) deleteOldestPod(app string) {
	e.Helper()
	oldest := slices.MinFunc(e.pods(app), func(a, b corev1.Pod) int { return a.CreationTimestamp.Compare(b.CreationTimestamp.Time) })
	if err := e.removePod(oldest.Name, false); err != nil {
		e.Fatal(err)
	}
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// forward is what status tells of one.
type forward struct {
	Name       string   `json:"name"`
	Local      []string `json:"local"`
	Pods       []string `json:"pods"`
	State      string   `json:"state"`
	Reconnects int      `json:"reconnects"`
	Bypass     *struct {
		Since time.Time `json:"since"`
		Paths []string  `json:"paths"`
	} `json:"bypass"`
}

// forwards are those of the namespace that run on this machine.
func (e *env) forwards() []forward {
	e.Helper()
	out, err := e.kubectl("velo", "status", "-o", "json")
	if err != nil {
		e.Fatal(err)
	}
	var list struct {
		Forwards []forward `json:"forwards"`
	}
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		e.Fatal(err)
	}
	return list.Forwards
}

// forwarding is a running kubectl velo forward.
type forwarding struct {
	*env
	velo  *velo
	ports []int
}

// startForwarding starts forwarding ports of a target to free ones.
func (e *env) startForwarding(target string, ports ...string) *forwarding {
	e.Helper()
	f := &forwarding{env: e}
	args := []string{"forward", target}
	for _, port := range ports {
		f.ports = append(f.ports, freePort(e.T))
		args = append(args, strconv.Itoa(f.ports[len(f.ports)-1])+":"+port)
	}
	f.velo = e.start(args...)
	return f
}

func (e *env) startForward(target string, ports ...string) *forwarding {
	e.Helper()
	f := e.startForwarding(target, ports...)
	f.velo.says("Forwarding from")
	return f
}

func (f *forwarding) address(i int) string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(f.ports[i]))
}
func (f *forwarding) url() string   { return "http://" + f.address(0) + "/" }
func (f *forwarding) answer() error { return get(f.url()) }

func (f *forwarding) answers() {
	f.Helper()
	if err := f.answer(); err != nil {
		f.Error(err)
	}
}

func (f *forwarding) status() forward {
	f.Helper()
	all := f.forwards()
	if len(all) == 0 {
		f.Fatal("status shows no forwards")
	}
	return all[0]
}

// portForward is a running kubectl port-forward.
type portForward struct {
	ports []int
	began time.Time
	ended chan struct{}
	after time.Duration // how long it ran; after ended
}

func (e *env) startPortForward(target string, ports ...string) *portForward {
	e.Helper()
	p := &portForward{began: time.Now(), ended: make(chan struct{})}
	args := []string{"port-forward", target}
	for _, port := range ports {
		p.ports = append(p.ports, freePort(e.T))
		args = append(args, strconv.Itoa(p.ports[len(p.ports)-1])+":"+port)
	}
	ctx, stop := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, "kubectl", e.flags(args)...)
	if err := cmd.Start(); err != nil {
		stop()
		e.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		_ = cmd.Wait() // it is killed in the end
		p.after = time.Since(p.began)
	}()
	e.Cleanup(func() {
		stop()
		<-p.ended
	})
	e.eventually("kubectl port-forward", func() error {
		conn, err := net.Dial("tcp", p.address(0))
		if err == nil {
			_ = conn.Close()
		}
		return err
	})
	return p
}

// fate says what has become of it.
func (p *portForward) fate() string {
	select {
	case <-p.ended:
		return fmt.Sprintf("has ended after %v", p.after.Round(100*time.Millisecond))
	default:
		return "still runs"
	}
}

func (p *portForward) address(i int) string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(p.ports[i]))
}
func (p *portForward) url() string { return "http://" + p.address(0) + "/" }

// steadyLoad sends a hundred requests a second, whether or not they are answered, each over a connection of its own.
type steadyLoad struct {
	quit     chan struct{}
	requests sync.WaitGroup

	mu           sync.Mutex
	sent, failed int
	slowest      time.Duration
	answered     map[string]int // by host
	failures     map[string]int
}

func startSteady(t *testing.T, url string) *steadyLoad {
	t.Helper()
	l := &steadyLoad{quit: make(chan struct{}), answered: make(map[string]int), failures: make(map[string]int)}
	client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	l.requests.Go(func() {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-l.quit:
				return
			case <-tick.C:
				l.requests.Go(func() { l.send(client, url) })
			}
		}
	})
	return l
}

func (l *steadyLoad) send(client *http.Client, url string) {
	began := time.Now()
	host, err := who(client, url)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent++
	if err != nil {
		l.failed++
		text := err.Error()
		l.failures[text[strings.LastIndex(text, "->")+1:]]++
		return
	}
	l.answered[host]++
	l.slowest = max(l.slowest, time.Since(began))
}

// stop waits for the last answers.
func (l *steadyLoad) stop() {
	close(l.quit)
	l.requests.Wait()
	counts.Lock()
	defer counts.Unlock()
	counts.sent += l.sent
	counts.failed += l.failed
}

// who asks a URL who answers it.
func who(client *http.Client, url string) (string, error) {
	response, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	var w service.Who
	if err := json.NewDecoder(response.Body).Decode(&w); err != nil {
		return "", err
	}
	if response.StatusCode != http.StatusOK || w.Host == "" {
		return "", errors.New(response.Status)
	}
	return w.Host, nil
}

func get(url string) error {
	_, err := who(&http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}, url)
	return err
}

// resetMidAnswer asks for a long answer, reads some of it, and resets the connection.
func resetMidAnswer(address string) error {
	conn, err := net.DialTimeout("tcp", address, 5*time.Second)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	if _, err := io.WriteString(conn, "GET /bytes?n=8388608 HTTP/1.1\r\nHost: web\r\n\r\n"); err != nil {
		return err
	}
	if _, err := io.ReadFull(conn, make([]byte, 64<<10)); err != nil {
		return err
	}
	return conn.(*net.TCPConn).SetLinger(0)
}

// othersCount is how many connections others have.
const othersCount = 4

// others are connections that exchange bytes all the time.
type others struct {
	quit    chan struct{}
	running sync.WaitGroup

	mu           sync.Mutex
	sent, broken int
}

func startOthers(t *testing.T, address string) *others {
	t.Helper()
	o := &others{quit: make(chan struct{})}
	for range othersCount {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		o.running.Go(func() {
			defer conn.Close()
			for {
				select {
				case <-o.quit:
					return
				case <-time.After(5 * time.Millisecond):
				}
				err := exchange(conn)
				o.mu.Lock()
				o.sent++
				if err != nil {
					o.broken++
				}
				o.mu.Unlock()
				if err != nil {
					return
				}
			}
		})
	}
	return o
}

// exchange has a kibibyte echoed.
func exchange(conn net.Conn) error {
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		return err
	}
	message := make([]byte, 1<<10)
	if _, err := io.ReadFull(service.Bytes(1<<10), message); err != nil {
		return err
	}
	if _, err := conn.Write(message); err != nil {
		return err
	}
	got := make([]byte, len(message))
	if _, err := io.ReadFull(conn, got); err != nil {
		return err
	}
	if !slices.Equal(got, message) {
		return errors.New("other bytes")
	}
	return nil
}

func (o *others) stop() (sent, broken int) {
	close(o.quit)
	o.running.Wait()
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.sent, o.broken
}
