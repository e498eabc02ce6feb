-- tidy: write off trays that are late, when nothing else happens.
write_off()
return apply
