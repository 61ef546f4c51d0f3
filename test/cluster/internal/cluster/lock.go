// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"
)

// lock makes this process the only one that changes the machine's cluster, until unlock. The lock is the name of an
// abstract unix socket: the kernel gives it back however its holder ends, and it leaves no file.
func (c *Cluster) lock(ctx context.Context) (unlock func(), err error) {
	const patience = 15 * time.Minute // longer than a cold up
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	l, err := net.Listen("unix", "@"+name)
	if errors.Is(err, errAddrInUse) {
		c.out.printf("► waiting: another velo-cluster is at work")
	}
	for ; errors.Is(err, errAddrInUse); l, err = net.Listen("unix", "@"+name) {
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for another velo-cluster to finish: %w", ctx.Err())
		case <-time.After(pollEvery):
		}
	}
	if err != nil {
		return nil, fmt.Errorf("locking the machine's cluster: %w", err)
	}
	return func() { l.Close() }, nil
}
