-- Who logs in, for a demonstration. `longshore migrate --grant` grants what the roles need.
CREATE ROLE longshore_worker NOLOGIN;
CREATE ROLE worker LOGIN PASSWORD 'demo' IN ROLE longshore_worker;
CREATE ROLE longshore_producer NOLOGIN;
CREATE ROLE producer LOGIN PASSWORD 'demo' IN ROLE longshore_producer;
