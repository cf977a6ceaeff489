"""JSON Schemas (draft 2020-12) of the topics; read them with `app.adapters.kafka.asyncapi`."""
