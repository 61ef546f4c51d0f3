// SPDX-License-Identifier: Apache-2.0

// Package podforward forwards ports of this machine to pods, as kubectl port-forward does, and goes on when a pod, the API
// server, or the network goes.
//
// A [Target] is a set of pods. Its [Pool] keeps connections to them, each of which carries any number of forwarded
// connections: one in use, one dialled ahead, more when several callers are there and the target has more pods. A [Forward]
// gives the callers of one local port to the pool's pods. It needs the rights that kubectl port-forward needs, and creates
// nothing in the cluster.
//
// # What always holds
//
//   - A caller is given to a pod that is ready and stays; of those, to the one with the fewest callers, and of equals always
//     to the same. What a pod has taken stays with it until it ends, even when the pod is going.
//   - A caller that a pod has not taken is given to another one, with every byte that it has said. One that may have been
//     taken is not, but for one case: when the connection to the cluster breaks or the pod is going, before anything was
//     answered, and what the caller has said is nothing, or nothing but whole HTTP requests that are safe to repeat by
//     RFC 9110, section 9.2.2.
//   - While nobody can be reached, callers are held: so many, and for so long.
//   - One caller's end, or reset, ends nothing but its own two streams.
//   - A caller that doesn't read doesn't stop others. The protocol below has no flow control, so its answer is taken into
//     memory. From [heavy] bytes on, the connection that it comes over is given to no new callers, who get another one; and
//     those who are on it already wait for the one that doesn't read only from [unreadLimit] bytes on, and for no longer than
//     [stallPatience]: then the one with the most unread bytes is reset. On a connection of its own it may take its time.
//   - Everything ends with the context of Run or Serve, and both wait for that.
package podforward
