// SPDX-License-Identifier: Apache-2.0

// Package environment computes the environment of a container as the kubelet does, says which of its variables a laptop
// must not have, and writes the others in the formats that shells and libraries read.
//
// # What it can't know
//
// Variables that the image sets (ENV in a Dockerfile), that the container runtime adds (PATH, HOSTNAME) and that the
// process gives itself aren't in the API, so they aren't in the result.
//
// The kubelet computes an environment when it starts the container, and ConfigMaps, Secrets and Services may have
// changed since. What [Resolve] returns is the environment that the container would be started with now.
//
// # What always holds
//
//   - Values are never made up: what can't be read or isn't known yet is an error that names it.
//   - Values are never logged and never part of an error.
//   - A file is either written completely, readable by its owner alone, or not touched.
package environment
