module layouts

go 1.20
