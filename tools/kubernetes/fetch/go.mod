module mailstack/tools/kubernetes/fetch

go 1.26.0
