// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/kubectl-velo/kubectl-velo/test/cluster/internal/ingress"
)

// Up makes the cluster run and returns the Ingress's URL. One that runs and is healthy stays as it is; whatever else it
// finds it takes down first. On an error nothing is left but the logs.
func (c *Cluster) Up(ctx context.Context) (ingressURL string, err error) {
	if err := preflight(); err != nil {
		return "", err
	}
	// Locked only while it looks: a cold build takes minutes, in which a down, or another clone, need not wait.
	if url, err := c.lookRunning(ctx); url != "" || err != nil {
		return url, err
	}
	start := time.Now()
	if err := c.makePrograms(ctx); err != nil {
		return "", err
	}

	unlock, err := c.lock(ctx)
	if err != nil {
		return "", err
	}
	defer unlock()
	if url := c.running(ctx); url != "" { // another up was faster
		return url, nil
	}
	if found, err := c.found(); err != nil {
		return "", err
	} else if found {
		if err := c.takeDown(ctx); err != nil {
			return "", err
		}
	}
	u := &upRun{Cluster: c}
	if err := u.start(ctx); err != nil {
		// The caller's context may be what ended it.
		cleanup, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		return "", errors.Join(err, c.takeDown(cleanup))
	}
	c.out.printf("✔ the cluster is up %.1fs", time.Since(start).Seconds())
	return u.ingressURL, nil
}

// lookRunning is running, once no other velo-cluster is at work.
func (c *Cluster) lookRunning(ctx context.Context) (url string, err error) {
	unlock, err := c.lock(ctx)
	if err != nil {
		return "", err
	}
	defer unlock()
	return c.running(ctx), nil
}

// running returns the Ingress's URL of a cluster of this clone that runs and is healthy, or "".
func (c *Cluster) running(ctx context.Context) (url string) {
	if c.unhealthy(ctx) != nil {
		return ""
	}
	data, err := os.ReadFile(c.IngressURLFile())
	if err != nil {
		return ""
	}
	c.out.printf("✔ the cluster is up already")
	return strings.TrimSpace(string(data))
}

// makePrograms installs and builds what is missing.
func (c *Cluster) makePrograms(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		missing := missingPackages()
		if missing == nil {
			return nil
		}
		if err := c.installPackages(ctx, missing...); err != nil {
			return hint(err, ownCluster)
		}
		return preflight() // an old release has old packages
	})
	g.Go(func() error { return c.buildAll(ctx) })
	return g.Wait()
}

// An upRun is what one up has started so far.
type upRun struct {
	*Cluster
	ingressURL string
	died       context.CancelCauseFunc // called when a daemon does
}

// start brings up everything, as much as possible at once. The death of a daemon ends it.
func (u *upRun) start(ctx context.Context) error {
	listeners, addresses, err := laptopListeners(laptopAPIPort, laptopIngressPort)
	if err != nil {
		return err
	}
	defer func() {
		for _, l := range listeners {
			l.Close() // the relay has its own
		}
	}()
	u.ingressURL = "http://" + addresses[1]
	err = u.out.Do("making namespaces, certificates and configuration", func() error {
		return u.prepare(ctx, "https://"+addresses[0])
	})
	if err != nil {
		return err
	}

	alive, died := context.WithCancelCause(ctx)
	defer died(nil)
	u.died = died
	inside := []string{net.JoinHostPort(nodeIP, strconv.Itoa(apiPort)), net.JoinHostPort(nodeIP, strconv.Itoa(ingressPort))}
	if err := u.launch(u.etcd(), u.containerd(), u.apiserver(), u.relay(listeners, inside...), u.nginx()); err != nil {
		return err
	}
	g, groupCtx := errgroup.WithContext(alive)
	apiUp := make(chan struct{})
	g.Go(func() error { return u.startControlPlane(groupCtx, apiUp) })
	g.Go(func() error { return u.startNode(groupCtx, apiUp) })
	g.Go(func() error {
		return u.await(groupCtx, "the Ingress answers", 30*time.Second, func(ctx context.Context) error {
			return ingressAnswers(ctx, u.ingressURL)
		})
	})
	err = g.Wait()
	if alive.Err() != nil { // then that is why the others failed
		return context.Cause(alive)
	}
	if err != nil {
		return err
	}
	// Last, as a sign that all is well.
	return writeFile(u.IngressURLFile(), []byte(u.ingressURL+"\n"), 0o644)
}

// startControlPlane closes apiUp once the API server is ready, and starts what talks to it.
func (u *upRun) startControlPlane(ctx context.Context, apiUp chan<- struct{}) error {
	if err := u.await(ctx, "kube-apiserver is ready", 2*time.Minute, u.apiReady); err != nil {
		return err
	}
	close(apiUp)
	if err := u.launch(u.controllerManager(), u.scheduler(), u.proxy()); err != nil {
		return err
	}
	if err := u.applyManifests(ctx); err != nil {
		return err
	}
	if err := u.launch(u.ingress()); err != nil {
		return err
	}
	return u.await(ctx, "controllers are at work", time.Minute, u.defaultAccount)
}

// startNode has the images that containerd needs imported while the API server starts, then starts the kubelet, which
// gives up on a runtime that does not answer and backs off from an API server that does not.
func (u *upRun) startNode(ctx context.Context, apiUp <-chan struct{}) error {
	err := u.out.Do("containerd has the images of CoreDNS and of pods' sandboxes", func() error {
		if err := await(ctx, "containerd", 30*time.Second, containerdReady); err != nil {
			return err
		}
		return importImages(ctx, u.image("pause.tar"), u.image("coredns.tar"))
	})
	if err != nil {
		return err
	}
	select {
	case <-apiUp:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if err := u.launch(u.kubelet()); err != nil {
		return err
	}
	if err := u.await(ctx, "node "+nodeName+" is ready", time.Minute, u.nodeReady); err != nil {
		return err
	}
	return u.out.Do("CoreDNS answers", func() error { return u.dnsAnswers(ctx) })
}

// await is a step that consists of waiting.
func (u *upRun) await(ctx context.Context, what string, timeout time.Duration, check func(context.Context) error) error {
	return u.out.Do(what, func() error { return await(ctx, "it", timeout, check) })
}

// launch starts daemons and watches over them.
func (u *upRun) launch(daemons ...*daemon) error {
	for _, d := range daemons {
		if err := d.start(); err != nil {
			return err
		}
		go func() { // ends with the daemon or with this process
			<-d.gone
			u.died(d.died())
		}()
	}
	return nil
}

// prepare makes all that the daemons need to start.
func (u *upRun) prepare(ctx context.Context, laptopAPI string) error {
	for _, dir := range []string{RunDir, runPath("daemons"), StateDir} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	for _, step := range []func() error{
		u.setOwner,
		saveSysctls,
		func() error { return makeMountspace(ctx) }, // before the network: it must not keep hold of that
		func() error { return makeNetwork(ctx) },
		makeCgroups,
		func() error { return u.writeCredentials(laptopAPI) },
		writeConfigs,
		func() error {
			return ingress.Prepare(runPath("nginx"), ingress.Ports{HTTP: ingressPort, HTTPS: ingressTLSPort})
		},
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// nginx is the server behind the Ingress; the ingress daemon configures it.
func (u *upRun) nginx() *daemon {
	return &daemon{Name: "nginx", Command: ingress.Command(findTool("nginx"), runPath("nginx")), Log: u.logFile("nginx")}
}

// dnsAnswers asks CoreDNS as a pod would, from inside the namespace and through its Service.
func (u *upRun) dnsAnswers(ctx context.Context) error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	err = run(inNamespace(ctx, exe, "resolve", "--server="+net.JoinHostPort(dnsIP, "53"), "kubernetes.default.svc.cluster.local."))
	if err != nil {
		return fmt.Errorf("%w\n%s", err, u.podTroubles(context.WithoutCancel(ctx), "kube-system"))
	}
	return nil
}

// laptopListeners opens a loopback port for each preferred one: that, or another if it is taken.
func laptopListeners(preferred ...int) (files []*os.File, addresses []string, err error) {
	for _, port := range preferred {
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if errors.Is(err, errAddrInUse) {
			l, err = net.Listen("tcp", "127.0.0.1:0")
		}
		if err != nil {
			return nil, nil, fmt.Errorf("opening a port for the laptop's side: %w", err)
		}
		f, err := l.(*net.TCPListener).File()
		if err := errors.Join(err, l.Close()); err != nil {
			return nil, nil, err
		}
		files, addresses = append(files, f), append(addresses, l.Addr().String())
	}
	return files, addresses, nil
}

// ctr is containerd's own client, on the images and containers that Kubernetes sees.
func ctr(ctx context.Context, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, findTool("ctr"), append([]string{"--address=" + containerdSocket, "--namespace=k8s.io"}, args...)...)
}
