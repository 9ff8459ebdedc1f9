// Package main is the kubernetes plugin of Pulumi: its provider, with the schema that belongs to it.
package main

import (
	_ "embed"

	"github.com/pulumi/pulumi-kubernetes/provider/v4/pkg/provider"
	"github.com/pulumi/pulumi-kubernetes/provider/v4/pkg/version"
)

// Both lie in the provider's module; `go build -overlay` puts them here (scripts/pulumi-kubernetes.sh).
//
//go:embed schema.json
var schema []byte

//go:embed terraform-mapping.json
var mapping []byte

func main() {
	provider.Serve("kubernetes", version.Version, schema, mapping)
}
