// SPDX-License-Identifier: Apache-2.0

package selector

import (
	"encoding/json"

	corev1 "k8s.io/api/core/v1"
)

// LastEditor names who set the Service's selector last, as the API server knows them: by their field manager, such as
// kubectl-client-side-apply or argocd-controller. The format of managedFields is that of server-side apply.
func LastEditor(service *corev1.Service) string {
	editor, at := "somebody", int64(0)
	for _, entry := range service.ManagedFields {
		if entry.FieldsV1 == nil || entry.Time == nil || entry.Time.UnixNano() < at {
			continue
		}
		var fields struct {
			Spec map[string]json.RawMessage `json:"f:spec"`
		}
		if json.Unmarshal(entry.FieldsV1.GetRawBytes(), &fields) != nil {
			continue // not this format's first version, then
		}
		if _, ok := fields.Spec["f:selector"]; ok {
			editor, at = entry.Manager, entry.Time.UnixNano()
		}
	}
	return editor
}
