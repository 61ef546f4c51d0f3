// SPDX-License-Identifier: Apache-2.0

package environment

import (
	"slices"
	"strings"
)

// shellLine writes an export command with the value in single quotes, within which a POSIX shell takes every byte for
// itself but the quote; that one is written between two quoted parts.
// See https://pubs.opengroup.org/onlinepubs/9799919799/utilities/V3_chap02.html#tag_19_02_02.
func shellLine(name, value string) (line, refusal string) {
	switch {
	case !isShellName(name):
		return "", isNotAName + ": letters, digits and _ are, with no digit first"
	case slices.Contains(shellsOwn(), name):
		return "", "shells have a variable of their own of that name"
	default:
		return "export " + name + "='" + strings.ReplaceAll(value, "'", `'\''`) + "'", ""
	}
}

func isShellName(name string) bool {
	for i, r := range name {
		if !isLetter(r) && r != '_' && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return name != ""
}

// shellsOwn returns the names of variables that sh or bash won't set at all, or give a value of their own.
func shellsOwn() []string {
	return []string{
		"BASHOPTS", "BASHPID", "BASH_ALIASES", "BASH_ARGC", "BASH_ARGV", "BASH_CMDS", "BASH_COMMAND", "BASH_LINENO",
		"BASH_SOURCE", "BASH_SUBSHELL", "BASH_VERSINFO", "DIRSTACK", "EPOCHREALTIME", "EPOCHSECONDS", "EUID", "FUNCNAME",
		"GROUPS", "HISTCMD", "LINENO", "OPTIND", "PPID", "RANDOM", "SECONDS", "SHELLOPTS", "SHLVL", "SRANDOM", "UID", "_",
	}
}
