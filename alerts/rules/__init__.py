"""Rules as data: what they say, where they hold, their versions, and the pages and commands that edit them."""
