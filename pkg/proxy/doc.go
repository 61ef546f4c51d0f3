// SPDX-License-Identifier: Apache-2.0

// Package proxy is the tunnel and both of its ends: [Proxy], the traffic-proxy that stands in for a Service's pods in
// the cluster, and [Tunnel], the laptop's end of it in the plugin's process.
//
// One protocol joins them, written down in docs/wire-protocol.md. It runs over any [Transport]: whatever dials an
// ordered, reliable byte stream to the proxy's tunnel listener.
//
// What always holds:
//
//   - A connection the proxy accepted gets one answerer: the local process, if it took the connection, or else the
//     origin pods. Until one of them has it, every byte the caller sent is kept.
//   - Half-closes and resets arrive as what they are: an end of data is never made of a broken connection.
//   - No goroutine outlives the call that started it ([Proxy.Run], [Tunnel.Serve]).
package proxy
