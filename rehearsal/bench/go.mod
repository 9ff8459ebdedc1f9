module mailstack.invalid/bench

go 1.19
