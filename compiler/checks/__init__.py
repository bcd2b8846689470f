"""What every integer network keeps: the rules that hardware and golden model rely on."""
