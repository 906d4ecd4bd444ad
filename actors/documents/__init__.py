"""Files of people, read into text that can be searched: each parser pure, all of them in a box."""
