// SPDX-License-Identifier: Apache-2.0

// Command peer is both sides of the end-to-end tests inside the cluster: "peer serve" is the service that gets
// intercepted, the other commands are callers of it. A caller prints what it saw as JSON, and exits with 1 if that is
// not what it should have seen.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/kubectl-velo/kubectl-velo/test/e2e/service"
)

func main() {
	os.Exit(run())
}

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: peer serve|wait|environ|load|transfer|concurrent|digest|websocket|echo|datagram|urls|hold|idle [flags]")
		return 2
	}
	var err error
	switch command, args := os.Args[1], os.Args[2:]; command {
	case "serve":
		err = serve(ctx, args)
	case "environ":
		err = environ(ctx, os.Stdout, args)
	case "wait":
		<-ctx.Done()
	default:
		err = call(ctx, command, args)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		return 1
	}
	return 0
}

func serve(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("serve", flag.ExitOnError)
	name := flags.String("name", "", "name to answer with, by default the host's")
	http := flags.String("http", "", "address to serve HTTP at")
	echo := flags.String("echo", "", "address to echo at")
	digest := flags.String("digest", "", "address to digest at")
	datagrams := flags.String("datagrams", "", "address to echo datagrams at")
	_ = flags.Parse(args) // it exits
	if *name == "" {
		host, err := os.Hostname()
		if err != nil {
			return err
		}
		*name = host
	}
	var l service.Listeners
	for _, one := range []struct {
		address  string
		listener *net.Listener
	}{{*http, &l.HTTP}, {*echo, &l.Echo}, {*digest, &l.Digest}} {
		if one.address == "" {
			continue
		}
		var err error
		if *one.listener, err = (&net.ListenConfig{}).Listen(ctx, "tcp", one.address); err != nil {
			return err
		}
	}
	if *datagrams != "" {
		var err error
		if l.Datagrams, err = (&net.ListenConfig{}).ListenPacket(ctx, "udp", *datagrams); err != nil {
			return err
		}
	}
	return service.Serve(ctx, *name, l)
}

// callTimeout bounds every caller.
const callTimeout = 20 * time.Minute

var errUnexpected = errors.New("not what was expected")

func call(ctx context.Context, command string, args []string) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	callers := map[string]func(context.Context, *flag.FlagSet, []string) (any, error){
		"load": func(ctx context.Context, flags *flag.FlagSet, args []string) (any, error) {
			return load(ctx, os.Stdin, flags, args)
		},
		"idle": func(ctx context.Context, flags *flag.FlagSet, args []string) (any, error) {
			return idle(ctx, os.Stdin, os.Stderr, flags, args)
		},
		"hold": func(ctx context.Context, flags *flag.FlagSet, args []string) (any, error) {
			return hold(ctx, os.Stderr, flags, args)
		},
		"transfer": transfer, "concurrent": concurrent,
		"digest": digest, "websocket": webSocket, "echo": echo, "datagram": datagram, "urls": urls,
	}
	caller, ok := callers[command]
	if !ok {
		return fmt.Errorf("there is no command %q", command)
	}
	result, err := caller(ctx, flag.NewFlagSet(command, flag.ExitOnError), args)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(result)
}
