// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/kubectl-velo/kubectl-velo/pkg/dependency"
)

// listening is the state of a listening TCP socket in /proc/net/tcp, and of any UDP socket in /proc/net/udp that isn't
// connected; see proc_net_tcp in the kernel's documentation.
const listeningTCP, listeningUDP = "0A", "07"

// holder names the process of this machine that has a port, as " by NAME (process ID)", or returns "" where that
// can't be told.
func holder(protocol dependency.Protocol, port uint16) string {
	inode := socketAt(string(protocol), port)
	if inode == "" {
		return ""
	}
	links, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		return ""
	}
	for _, link := range links {
		if to, err := os.Readlink(link); err != nil || to != "socket:["+inode+"]" {
			continue
		}
		process := strings.Split(link, "/")[2]
		name, err := os.ReadFile("/proc/" + process + "/comm")
		if err != nil {
			return ""
		}
		return fmt.Sprintf(" by %s (process %s)", strings.TrimSpace(string(name)), process)
	}
	return ""
}

// socketAt returns the inode of a socket that listens at a port, or "".
func socketAt(protocol string, port uint16) string {
	wanted, state := ":"+strings.ToUpper(fmt.Sprintf("%04x", port)), listeningTCP
	if protocol == string(dependency.UDP) {
		state = listeningUDP
	}
	for _, table := range []string{"/proc/net/" + protocol, "/proc/net/" + protocol + "6"} {
		sockets, err := os.ReadFile(table)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(sockets)) {
			// Local address, remote address, state, …; the inode is the tenth field.
			fields := strings.Fields(line)
			if len(fields) > 9 && strings.HasSuffix(fields[1], wanted) && fields[3] == state {
				return fields[9]
			}
		}
	}
	return ""
}
