"""The graph of users, tasks, queries and LLMs as a jraph.GraphsTuple: schema, construction, histories, growth."""
