// SPDX-License-Identifier: Apache-2.0

// Package pathcheck walks the way that callers of a Service take: from the Ingress, HTTPRoute, load balancer or node port
// before it, through the Service, to a process in a pod. It says of every hop whether it holds, and if not, why.
//
// There are two kinds of hops. Static ones compare what objects say with each other. Live ones send a request: through
// the real front, to the Service and to one of its pods through the API server, and to the pod's loopback; where these
// part is where the path breaks.
//
// What always holds:
//
//   - Nothing in the cluster is created or changed.
//   - What couldn't be looked at, for want of a right or because it can't be reached from here, is [Unknown], with the
//     reason. It is never taken for good.
//   - What follows from a hop that is broken isn't said again: it is not walked on where there is nowhere to go.
//   - Two checks of the same state say the same: there are no times or durations in what a hop says.
package pathcheck
