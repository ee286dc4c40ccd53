-- What the provider keeps on the server, because neither MySQL nor MariaDB has a place for it: an id of the server that
-- survives restarts, upgrades and a failover, whose each account is, and the labels of its credentials. No secret is in it.
-- Run it once, as an administrator. Doing it again changes nothing.
CREATE DATABASE IF NOT EXISTS nhi CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS nhi.server (
  one TINYINT  NOT NULL PRIMARY KEY,
  id  CHAR(36) NOT NULL
) ENGINE = InnoDB;
INSERT IGNORE INTO nhi.server (one, id) VALUES (1, UUID());

CREATE TABLE IF NOT EXISTS nhi.accounts (
  User VARCHAR(128) NOT NULL,
  Host VARCHAR(255) NOT NULL,
  id   VARCHAR(32)  NOT NULL,
  mark VARCHAR(255) NOT NULL, -- or 'deleted': the account with this id is gone
  PRIMARY KEY (User, Host)
) ENGINE = InnoDB;

CREATE TABLE IF NOT EXISTS nhi.credentials (
  User        VARCHAR(128) NOT NULL,
  Host        VARCHAR(255) NOT NULL,
  id          VARCHAR(32)  NOT NULL,
  label       VARCHAR(255) NOT NULL,
  fingerprint CHAR(64)     NOT NULL,
  made_at     BIGINT       NOT NULL, -- microseconds since 1970
  PRIMARY KEY (User, Host, id)
) ENGINE = InnoDB;
