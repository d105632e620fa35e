module carp

go 1.22
