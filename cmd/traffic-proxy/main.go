// SPDX-License-Identifier: Apache-2.0

// Command traffic-proxy runs in the cluster, in the place of an intercepted Service's pods. The plugin starts it; its
// flags are between the two of them.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/kubectl-velo/kubectl-velo/pkg/proxy"
)

// version is the one of the plugin that it goes with. Releases set it with -ldflags "-X main.version=…".
var version = "dev"

// defaultGrace is the plugin's as well.
const defaultGrace = 30 * time.Second

func main() {
	os.Exit(run())
}

func run() int {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	cfg := proxy.Config{Version: version, Log: log}
	flag.StringVar(&cfg.Session, "session", "", "ID of the session that may open the tunnel")
	flag.StringVar(&cfg.Origin, "origin", "", "address of the origin Service")
	flag.StringVar(&cfg.Tunnel, "tunnel", "", "loopback address to accept the tunnel at")
	r := restorer{log: log}
	flag.StringVar(&r.namespace, "namespace", "", "the Service's namespace")
	flag.StringVar(&r.service, "service", "", "the Service to restore; without it the proxy restores nothing by itself")
	flag.StringVar(&r.deployment, "deployment", "", "the proxy's own Deployment, deleted when it isn't needed any more")
	flag.DurationVar(&cfg.Grace, "grace", defaultGrace, "how long to wait for a session before restoring the Service")
	flag.Func("port", "`NETWORK/CONTAINER:SERVICE`: a port to listen on, and the origin Service's port it stands for", func(value string) error {
		port, err := parsePort(value)
		cfg.Ports = append(cfg.Ports, port)
		return err
	})
	flag.Parse()
	switch {
	case cfg.Session == "" || cfg.Tunnel == "":
		log.Error("--session and --tunnel are needed")
		return 2
	case (cfg.Origin == "") != (len(cfg.Ports) == 0):
		log.Error("--origin and --port go together")
		return 2
	}
	if r.service != "" {
		r.session = cfg.Session
		if err := r.connect(); err != nil {
			log.Error("the service can't be restored from here", "err", err)
			return 1
		}
		cfg.Abandoned, cfg.Leaving = r.abandoned, r.leaving
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if len(cfg.Ports) == 0 {
		// It stands in for nobody: without its session it is of no use.
		cfg.Abandoned = func(context.Context) { stop() }
	}
	if err := proxy.New(cfg).Run(ctx); err != nil {
		log.Error("traffic-proxy ends", "err", err)
		return 1
	}
	return 0
}

var errPort = errors.New("want NETWORK/CONTAINER:SERVICE, such as tcp/8080:80")

func parsePort(value string) (proxy.Port, error) {
	network, numbers, _ := strings.Cut(value, "/")
	container, service, _ := strings.Cut(numbers, ":")
	c, err := strconv.ParseUint(container, 10, 16)
	if err != nil {
		return proxy.Port{}, fmt.Errorf("%w: %w", errPort, err)
	}
	s, err := strconv.ParseUint(service, 10, 16)
	if err != nil {
		return proxy.Port{}, fmt.Errorf("%w: %w", errPort, err)
	}
	if network != "tcp" && network != "udp" {
		return proxy.Port{}, errPort
	}
	return proxy.Port{Network: network, Container: uint16(c), Service: uint16(s)}, nil
}
