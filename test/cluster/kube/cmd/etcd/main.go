// SPDX-License-Identifier: Apache-2.0

// Command etcd is the etcd server, as its own main upstream is.
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() {
	etcdmain.Main(os.Args)
}
