// The provider's components (YAML, Helm, Kustomize) make objects by the Go SDK, which has a type for every kind of every
// version: four fifths of the plugin's compilation. Nothing here declares a component, so this build has none: what they
// take from the SDK stands here, and an object that one of them would make is refused. All else is the release's own.
module github.com/pulumi/pulumi-kubernetes/sdk/v4

go 1.26.0

require github.com/pulumi/pulumi/sdk/v3 v3.215.0
