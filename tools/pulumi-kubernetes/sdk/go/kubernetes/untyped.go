// Package kubernetes is what the provider's components name of the Go SDK's own.
package kubernetes

import "reflect"

// UntypedArgs is the manifest of an object.
type UntypedArgs map[string]any

// ElementType is that of an input of the SDK.
func (UntypedArgs) ElementType() reflect.Type { return reflect.TypeFor[map[string]any]() }
