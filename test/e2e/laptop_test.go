// SPDX-License-Identifier: Apache-2.0

//go:build e2e && linux

package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// laptop is a machine of its own: a network namespace that reaches the API server over one link, which can be cut.
type laptop struct {
	*env
	name  string
	enter []string
}

// The link's two ends, of addresses that are used nowhere else (RFC 2544).
const (
	laptopAddress = "198.18.231.2"
	siteAddress   = "198.18.231.1"
	laptopLink    = "velo-e2e-l"
	siteLink      = "velo-e2e-s"
)

// newLaptop makes a laptop that goes with the test. It takes root, and a cluster of the test's own.
func newLaptop(t *testing.T, e *env) *laptop {
	t.Helper()
	if os.Getenv("VELO_CONTEXT") != "" || os.Geteuid() != 0 {
		t.Skip("a network that can be cut takes root and a cluster of the test's own")
	}
	l := &laptop{env: e.within(t), name: "velo-e2e-laptop"}
	l.enter = []string{"nsenter", "--net=/run/netns/" + l.name}
	remove := func() {
		_ = exec.Command("ip", "link", "delete", siteLink).Run() // nothing there is as good
		_ = exec.Command("ip", "netns", "delete", l.name).Run()  // the same
	}
	remove()
	t.Cleanup(remove)
	for _, command := range []string{
		"ip netns add " + l.name,
		"ip link add " + siteLink + " type veth peer name " + laptopLink + " netns " + l.name,
		"ip address add " + siteAddress + "/30 dev " + siteLink,
		"ip link set " + siteLink + " up",
		strings.Join(l.enter, " ") + " ip address add " + laptopAddress + "/30 dev " + laptopLink,
		strings.Join(l.enter, " ") + " ip link set " + laptopLink + " up",
		strings.Join(l.enter, " ") + " ip link set lo up",
	} {
		run(t, strings.Fields(command)...)
	}
	l.via = l.enter
	l.kubeconfig = l.kubeconfigVia(t, relayTo(t, siteAddress, e.config.Host))
	return l
}

func run(t *testing.T, command ...string) {
	t.Helper()
	if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", strings.Join(command, " "), err, out)
	}
}

// relayTo relays connections to an address of this machine to the API server, until the test ends.
func relayTo(t *testing.T, address, server string) string {
	t.Helper()
	target, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", net.JoinHostPort(address, "0"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var relays errgroup.Group
	relays.Go(func() error {
		for {
			in, err := l.Accept()
			if errors.Is(err, net.ErrClosed) {
				return nil
			}
			if err != nil {
				return err
			}
			relays.Go(func() error {
				relayOne(ctx, in, target.Host)
				return nil
			})
		}
	})
	t.Cleanup(func() {
		cancel()
		l.Close()
		_ = relays.Wait()
	})
	return l.Addr().String()
}

func relayOne(ctx context.Context, in net.Conn, target string) {
	defer in.Close()
	out, err := (&net.Dialer{}).DialContext(ctx, "tcp", target)
	if err != nil {
		return
	}
	defer out.Close()
	defer context.AfterFunc(ctx, func() { in.Close(); out.Close() })()
	var both errgroup.Group
	for _, way := range [][2]net.Conn{{in, out}, {out, in}} {
		both.Go(func() error {
			_, _ = io.Copy(way[0], way[1])
			return way[0].(*net.TCPConn).CloseWrite()
		})
	}
	_ = both.Wait()
}

// kubeconfigVia returns a kubeconfig that leads to the same cluster by another address.
func (e *env) kubeconfigVia(t *testing.T, address string) string {
	t.Helper()
	target, err := url.Parse(e.config.Host)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(clientcmdapi.Config{
		Clusters: map[string]*clientcmdapi.Cluster{"c": {
			Server: "https://" + address, TLSServerName: target.Hostname(),
			CertificateAuthorityData: e.config.CAData, CertificateAuthority: e.config.CAFile,
		}},
		AuthInfos: map[string]*clientcmdapi.AuthInfo{"u": {
			ClientCertificateData: e.config.CertData, ClientCertificate: e.config.CertFile,
			ClientKeyData: e.config.KeyData, ClientKey: e.config.KeyFile,
			Token: e.config.BearerToken,
		}},
		Contexts:       map[string]*clientcmdapi.Context{"c": {Cluster: "c", AuthInfo: "u"}},
		CurrentContext: "c",
	}, path); err != nil {
		t.Fatal(err)
	}
	return path
}

// cut drops every packet of the link from now on; mend ends that. No connection is closed by either.
func (l *laptop) cut()  { l.firewall("-I") }
func (l *laptop) mend() { l.firewall("-D") }

func (l *laptop) firewall(action string) {
	l.Helper()
	run(l.T, append(l.enter, "iptables", "-w", action, "INPUT", "-i", laptopLink, "-j", "DROP")...)
	run(l.T, append(l.enter, "iptables", "-w", action, "OUTPUT", "-o", laptopLink, "-j", "DROP")...)
}

// serve runs the service on the laptop, at a port of its loopback, until the test ends.
func (l *laptop) serve(port int) {
	l.Helper()
	cmd := exec.Command(l.enter[0], append(l.enter[1:], "peer", "serve", "--name="+localName, fmt.Sprintf("--http=127.0.0.1:%d", port))...)
	if err := cmd.Start(); err != nil {
		l.Fatal(err)
	}
	l.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // killed
	})
}

// heartbeat is how long a silent session may go unnoticed.
const heartbeat = 5 * time.Second

// The laptop's network is cut: packets are dropped, no connection is closed. Callers are held until that is noticed, and
// then answered by the cluster; after the grace the Service is restored. Mended, the session comes back.
func TestNetworkCut(t *testing.T) {
	t.Parallel()
	e := newEnv(t, nil)
	l := newLaptop(t, e)
	e.deployWeb()
	l.serve(18231)
	was := e.serviceBytes("web")
	r := e.startLoad("http://web/")
	v := l.intercept("web", port(18231, "http"), graceFlag())
	e.answeredBy("http://web/", localName)
	l.cut()
	t.Logf("restored in %v", e.restoredIn("web", was, heartbeat+grace+restoreSlack))
	l.mend()
	v.says("service/web intercepted again")
	e.answeredBy("http://web/", localName)
	v.interrupt()
	r.stop(loadCallers)
	e.sameService("web", was)
	e.nothingLeft()
}
