// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

// targetArgument is what ports are to be forwarded to, as it was written, and those ports.
type targetArgument struct {
	name  string // TYPE/NAME, or the name of a pod
	ports []portArgument
}

// portArgument is [LOCAL:]REMOTE.
type portArgument struct {
	// local is 0 for a free port, if it was given.
	local      uint16
	localGiven bool
	// remote is a number above 0, or a name.
	remote string
}

// takeArguments reads targets, each followed by its ports. What has a slash is a target.
func (o *forwardOptions) takeArguments(cmd *cobra.Command, args []string) error {
	if dash := cmd.ArgsLenAtDash(); dash >= 0 {
		if dash == len(args) {
			return usageErrorf("there is no command after --")
		}
		args, o.command = args[:dash], args[dash:]
	}
	switch {
	case o.all && o.selector != "":
		return usageErrorf("--all and --selector exclude each other")
	case o.all && len(args) > 0:
		return usageErrorf("unexpected argument %q: --all names everything", args[0])
	case o.all:
		return nil
	case o.selector != "":
		if len(args) > 0 && strings.Contains(args[0], "/") {
			return usageErrorf("unexpected argument %q: --selector says which pods, only their ports are missing", args[0])
		}
		args = append([]string{""}, args...)
	}
	for i, arg := range args {
		if i == 0 || strings.Contains(arg, "/") {
			o.targets = append(o.targets, targetArgument{name: arg})
			continue
		}
		port, err := readPortArgument(arg)
		if err != nil {
			return err
		}
		target := &o.targets[len(o.targets)-1]
		target.ports = append(target.ports, port)
	}
	return o.checkTargets()
}

func (o *forwardOptions) checkTargets() error {
	if len(o.targets) == 0 {
		return usageErrorf("TYPE/NAME and list of ports are required for forward")
	}
	locals := make(map[uint16]bool)
	for _, target := range o.targets {
		if len(target.ports) == 0 {
			if target.name == "" {
				return usageErrorf("a list of ports is required for forward")
			}
			return usageErrorf("TYPE/NAME and list of ports are required for forward: %s has no port", target.name)
		}
		for _, port := range target.ports {
			if port.local == 0 {
				continue
			}
			if locals[port.local] {
				return usageErrorf("local port %d is given twice", port.local)
			}
			locals[port.local] = true
		}
	}
	return nil
}

// readPortArgument reads [LOCAL:]REMOTE. A LOCAL that is empty, or 0, asks for a free port.
func readPortArgument(arg string) (portArgument, error) {
	local, remote, given := strings.Cut(arg, ":")
	if !given {
		remote = local
	}
	p := portArgument{remote: remote, localGiven: given}
	switch {
	case strings.Contains(remote, ":"):
		return p, usageErrorf("invalid port format '%s'", arg)
	case remote == "":
		return p, usageErrorf("remote port cannot be empty")
	}
	if number, err := strconv.ParseInt(remote, 10, 64); err == nil {
		if number == 0 {
			return p, usageErrorf("remote port must be > 0")
		}
		port, err := strconv.ParseUint(remote, 10, 16)
		if err != nil {
			return p, usageErrorf("error parsing remote port '%s': %v", remote, err)
		}
		if !given {
			p.local = uint16(port)
		}
	}
	if given && local != "" {
		port, err := strconv.ParseUint(local, 10, 16)
		if err != nil {
			return p, usageErrorf("error parsing local port '%s': %v", local, err)
		}
		p.local = uint16(port)
	}
	return p, nil
}
