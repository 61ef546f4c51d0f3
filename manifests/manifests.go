// SPDX-License-Identifier: Apache-2.0

// Package manifests holds what an intercept puts into a cluster, as YAML with a reason beside every choice. The plugin
// fills in names, ports and labels.
package manifests

import _ "embed"

// Deployment is the traffic-proxy's Deployment.
//
//go:embed deployment.yaml
var Deployment []byte

// Job is the traffic-proxy of a session that intercepts nothing, without its pod.
//
//go:embed job.yaml
var Job []byte

// OriginService is the way to the origin pods while their Service leads elsewhere.
//
//go:embed origin-service.yaml
var OriginService []byte

// ProxyRole is what the traffic-proxy may do by itself.
//
//go:embed proxy-role.yaml
var ProxyRole []byte

// UserRole is what a user needs in a namespace to intercept its Services.
//
//go:embed user-role.yaml
var UserRole []byte
