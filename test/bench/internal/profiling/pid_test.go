// SPDX-License-Identifier: Apache-2.0

package profiling

import (
	"errors"
	"testing"
)

func TestInnermostPID(t *testing.T) {
	for _, test := range []struct {
		name, status string
		want         int
		ok           bool
	}{
		{"outside", "Name:\tvelo\nNgid:\t0\nPid:\t4711\nNStgid:\t4711\nNSpid:\t4711\nNSpgid:\t9\n", 4711, true},
		{"in a container", "Pid:\t4711\nNStgid:\t4711\t1\nNSpid:\t4711\t1\nNSpgid:\t4711\t1\n", 1, true},
		{"in one within another", "Pid:\t4711\nNSpid:\t4711\t12\t7\n", 7, true},
		{"an old kernel's", "Name:\tvelo\nPid:\t4711\n", 0, false},
		{"without any", "Pid:\t4711\nNSpid:\nNSpgid:\t9\n", 0, false},
		{"no number", "Pid:\t4711\nNSpid:\t4711\tx\n", 0, false},
		{"nothing", "", 0, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := innermostPID(test.status)
			if got != test.want || (err == nil) != test.ok {
				t.Errorf("it is %d, %v", got, err)
			}
			if err != nil && !errors.Is(err, errStatus) {
				t.Errorf("the error is another: %v", err)
			}
		})
	}
}
