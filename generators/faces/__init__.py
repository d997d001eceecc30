"""Where bona fide faces come from: rendered heads and photographs."""
