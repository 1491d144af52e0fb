"""Records that people have checked: the page of `merrflow review`, verdicts and what follows from them, audits."""
