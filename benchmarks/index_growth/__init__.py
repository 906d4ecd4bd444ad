"""How the index grows: more documents than there are sentences, one size a process."""
