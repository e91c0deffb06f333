"""The default router: users and answers as states of a graph that send each other messages of surprise."""
